-- The jobs that a person may mean: by id, by exact name, or by the beginning of the name, the best match first. Reads all
-- jobs; called once by a command that a person waits for. $1 text.
SELECT j.pk_job, j.str_name AS job_name, j.str_state, j.b_paused, j.str_os, jr.int_priority,
       f.pk_facility, f.str_name AS facility_name,
       sh.pk_show, sh.str_name AS show_name, sh.b_active, sh.b_scheduler_managed,
       g.str_name AS folder_name,
       j.pk_job = $1 OR j.str_name = $1 AS exact
FROM job j
JOIN show sh ON sh.pk_show = j.pk_show
JOIN facility f ON f.pk_facility = j.pk_facility
JOIN folder g ON g.pk_folder = j.pk_folder
LEFT JOIN job_resource jr ON jr.pk_job = j.pk_job
WHERE j.pk_job = $1 OR j.str_name = $1 OR starts_with(j.str_name, $1)
ORDER BY j.pk_job = $1 DESC, j.str_name = $1 DESC, j.str_state = 'FINISHED', j.ts_started DESC, j.pk_job
LIMIT 20
