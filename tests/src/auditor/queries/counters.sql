-- Each of the five counters against the sum of the procs it stands for, cores and GPUs, where they differ.
-- Procs without a frame still hold what they hold, so they count. Local procs count in the layer, and in the job's own local
-- columns; the other counters leave them out. The folder and the department of a proc are those that its job has now.
WITH held AS (
    SELECT proc.pk_show, proc.pk_job, proc.pk_layer, host.pk_alloc, proc.b_local,
           job.pk_folder, job.pk_dept, job.pk_show AS job_show,
           proc.int_cores_reserved AS cores, proc.int_gpus_reserved AS gpus
    FROM proc
    JOIN host ON host.pk_host = proc.pk_host
    LEFT JOIN job ON job.pk_job = proc.pk_job
), facts AS (
    SELECT 'subscription' AS what, s.pk_subscription AS id, show.str_name || ' at ' || alloc.str_name AS name,
           s.int_cores::bigint AS cores, s.int_gpus::bigint AS gpus, sums.cores AS cores_sum, sums.gpus AS gpus_sum
    FROM subscription s
    JOIN show ON show.pk_show = s.pk_show
    JOIN alloc ON alloc.pk_alloc = s.pk_alloc
    LEFT JOIN (SELECT pk_show, pk_alloc, sum(cores) AS cores, sum(gpus) AS gpus
               FROM held WHERE NOT b_local GROUP BY 1, 2) sums
           ON sums.pk_show = s.pk_show AND sums.pk_alloc = s.pk_alloc
    UNION ALL
    SELECT 'layer_resource', r.pk_layer, job.str_name || '/' || layer.str_name,
           r.int_cores, r.int_gpus, sums.cores, sums.gpus
    FROM layer_resource r
    JOIN layer ON layer.pk_layer = r.pk_layer
    JOIN job ON job.pk_job = layer.pk_job
    LEFT JOIN (SELECT pk_layer, sum(cores) AS cores, sum(gpus) AS gpus FROM held GROUP BY 1) sums
           ON sums.pk_layer = r.pk_layer
    UNION ALL
    SELECT 'job_resource', r.pk_job, job.str_name, r.int_cores, r.int_gpus, sums.cores, sums.gpus
    FROM job_resource r
    JOIN job ON job.pk_job = r.pk_job
    LEFT JOIN (SELECT pk_job, sum(cores) AS cores, sum(gpus) AS gpus FROM held WHERE NOT b_local GROUP BY 1) sums
           ON sums.pk_job = r.pk_job
    UNION ALL
    SELECT 'job_resource local', r.pk_job, job.str_name, r.int_local_cores, r.int_local_gpus, sums.cores, sums.gpus
    FROM job_resource r
    JOIN job ON job.pk_job = r.pk_job
    LEFT JOIN (SELECT pk_job, sum(cores) AS cores, sum(gpus) AS gpus FROM held WHERE b_local GROUP BY 1) sums
           ON sums.pk_job = r.pk_job
    UNION ALL
    SELECT 'folder_resource', r.pk_folder, show.str_name || '/' || folder.str_name,
           r.int_cores, r.int_gpus, sums.cores, sums.gpus
    FROM folder_resource r
    JOIN folder ON folder.pk_folder = r.pk_folder
    JOIN show ON show.pk_show = folder.pk_show
    LEFT JOIN (SELECT pk_folder, sum(cores) AS cores, sum(gpus) AS gpus
               FROM held WHERE NOT b_local GROUP BY 1) sums
           ON sums.pk_folder = r.pk_folder
    UNION ALL
    SELECT 'point', p.pk_point, show.str_name || '/' || dept.str_name,
           p.int_cores, p.int_gpus, sums.cores, sums.gpus
    FROM point p
    JOIN show ON show.pk_show = p.pk_show
    JOIN dept ON dept.pk_dept = p.pk_dept
    LEFT JOIN (SELECT pk_dept, job_show, sum(cores) AS cores, sum(gpus) AS gpus
               FROM held WHERE NOT b_local GROUP BY 1, 2) sums
           ON sums.pk_dept = p.pk_dept AND sums.job_show = p.pk_show
)
SELECT what || ' cores' AS what, id, name, cores AS found, COALESCE(cores_sum, 0)::bigint AS expected
FROM facts WHERE cores <> COALESCE(cores_sum, 0)
UNION ALL
SELECT what || ' gpus', id, name, gpus, COALESCE(gpus_sum, 0)::bigint
FROM facts WHERE gpus <> COALESCE(gpus_sum, 0)
ORDER BY 1, 3
