-- Caps and priority of the rows that the trigger made.
UPDATE job_resource
SET int_min_cores = t.min_cores, int_max_cores = t.max_cores, int_max_gpus = t.max_gpus, int_priority = t.priority
FROM unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::int[])
     AS t (job, min_cores, max_cores, max_gpus, priority)
WHERE job_resource.pk_job = t.job
