-- A job ends when none of its frames can still run or is dead. Its visible name is given up, so that it may be submitted
-- again. Triggers copy counts to the history.
UPDATE job
SET str_state = 'FINISHED', str_visible_name = NULL, ts_stopped = now(), ts_updated = now()
FROM job_stat
WHERE job.pk_job = $1 AND job.str_state = 'PENDING' AND job_stat.pk_job = job.pk_job
  AND int_waiting_count + int_running_count + int_dead_count + int_depend_count + int_checkpoint_count = 0
