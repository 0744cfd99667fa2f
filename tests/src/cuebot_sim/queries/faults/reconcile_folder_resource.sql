-- Wrong on purpose, as the one of jobs.
UPDATE folder_resource
SET int_cores = held.cores, int_gpus = held.gpus
FROM (SELECT job.pk_folder, COALESCE(sum(int_cores_reserved), 0)::int AS cores,
             COALESCE(sum(int_gpus_reserved), 0)::int AS gpus
      FROM job LEFT JOIN proc ON proc.pk_job = job.pk_job AND NOT proc.b_local
      GROUP BY job.pk_folder) AS held
WHERE folder_resource.pk_folder = held.pk_folder
