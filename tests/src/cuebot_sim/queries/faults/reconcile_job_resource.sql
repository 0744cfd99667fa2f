-- Wrong on purpose. The sum is read when the statement starts, before it waits for the row; what was booked in between and
-- committed during the wait is then overwritten. The maximum is moved along so that no trigger objects.
UPDATE job_resource
SET int_cores = held.cores, int_gpus = held.gpus, int_max_cores = int_max_cores + 1
FROM (SELECT job.pk_job, COALESCE(sum(int_cores_reserved), 0)::bigint AS cores,
             COALESCE(sum(int_gpus_reserved), 0)::int AS gpus
      FROM job LEFT JOIN proc ON proc.pk_job = job.pk_job AND NOT proc.b_local
      GROUP BY job.pk_job) AS held
WHERE job_resource.pk_job = held.pk_job
