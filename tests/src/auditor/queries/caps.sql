-- Every cap that is in use: what procs (for limits: running frames, or the hosts on which they run) take of it, and where it stands. Folders with a negative
-- cap have none; elsewhere a negative cap allows nothing. Local procs are under no cap.
WITH held AS (
    SELECT proc.pk_show, proc.pk_job, host.pk_alloc, job.pk_folder,
           proc.int_cores_reserved AS cores, proc.int_gpus_reserved AS gpus
    FROM proc
    JOIN host ON host.pk_host = proc.pk_host
    LEFT JOIN job ON job.pk_job = proc.pk_job
    WHERE NOT proc.b_local
)
SELECT 'subscription burst' AS cap, s.pk_subscription AS id, show.str_name || ' at ' || alloc.str_name AS name,
       sum(held.cores)::bigint AS used, GREATEST(s.int_burst, 0) AS allowed
FROM held
JOIN subscription s ON s.pk_show = held.pk_show AND s.pk_alloc = held.pk_alloc
JOIN show ON show.pk_show = s.pk_show
JOIN alloc ON alloc.pk_alloc = s.pk_alloc
GROUP BY s.pk_subscription, show.str_name, alloc.str_name
UNION ALL
SELECT dimension.cap, job.pk_job, job.str_name, dimension.used, GREATEST(dimension.allowed, 0)
FROM (SELECT pk_job, sum(cores)::bigint AS cores, sum(gpus)::bigint AS gpus FROM held GROUP BY pk_job) sums
JOIN job ON job.pk_job = sums.pk_job
JOIN job_resource r ON r.pk_job = sums.pk_job
CROSS JOIN LATERAL (VALUES
    ('job max cores', sums.cores, r.int_max_cores::bigint),
    ('job max gpus', sums.gpus, r.int_max_gpus::bigint)
) AS dimension (cap, used, allowed)
WHERE dimension.used > 0
UNION ALL
SELECT dimension.cap, folder.pk_folder, show.str_name || '/' || folder.str_name, dimension.used, dimension.allowed
FROM (SELECT pk_folder, sum(cores)::bigint AS cores, sum(gpus)::bigint AS gpus FROM held GROUP BY pk_folder) sums
JOIN folder ON folder.pk_folder = sums.pk_folder
JOIN show ON show.pk_show = folder.pk_show
JOIN folder_resource r ON r.pk_folder = sums.pk_folder
CROSS JOIN LATERAL (VALUES
    ('folder max cores', sums.cores, r.int_max_cores::bigint),
    ('folder max gpus', sums.gpus, r.int_max_gpus::bigint)
) AS dimension (cap, used, allowed)
WHERE dimension.used > 0 AND dimension.allowed >= 0
UNION ALL
SELECT 'limit', l.pk_limit_record, l.str_name,
       CASE WHEN l.b_host_limit THEN count(DISTINCT proc.pk_host) ELSE count(DISTINCT frame.pk_frame) END, GREATEST(COALESCE(l.int_max_value, 0), 0)
FROM (SELECT DISTINCT pk_layer, pk_limit_record FROM layer_limit) attached
JOIN limit_record l ON l.pk_limit_record = attached.pk_limit_record
JOIN frame ON frame.pk_layer = attached.pk_layer AND frame.str_state = 'RUNNING'
LEFT JOIN proc ON proc.pk_frame = frame.pk_frame
GROUP BY l.pk_limit_record, l.str_name, l.int_max_value, l.b_host_limit
ORDER BY 1, 3
