-- The one view that Cuebot's job search reads.

-- A show is here when one of its jobs has waiting frames and room for a core under its own maximum.
CREATE VIEW vs_waiting AS
SELECT j.pk_show
FROM job j
JOIN job_resource jr ON jr.pk_job = j.pk_job
JOIN job_stat js ON js.pk_job = j.pk_job
WHERE j.str_state = 'PENDING' AND NOT j.b_paused AND js.int_waiting_count <> 0 AND jr.int_max_cores - jr.int_cores >= 100
GROUP BY j.pk_show;
