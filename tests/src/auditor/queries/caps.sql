-- Every cap: what procs (for limits: running frames, or the hosts on which they run) take of it, where it stands, which procs
-- those are, what each of them takes a place by if not by itself (under a limit of hosts: its host, as the second frame of a host
-- takes nothing), and a mark that changes when what it counts is another set (a job moved to the folder or out of it). Folders
-- with a negative cap have none; elsewhere a negative cap allows nothing. Local procs are under no cap.
WITH held AS (
    SELECT proc.pk_proc, proc.pk_show, proc.pk_job, host.pk_alloc, job.pk_folder,
           proc.int_cores_reserved AS cores, proc.int_gpus_reserved AS gpus
    FROM proc
    JOIN host ON host.pk_host = proc.pk_host
    LEFT JOIN job ON job.pk_job = proc.pk_job
    WHERE NOT proc.b_local
)
SELECT 'subscription burst' AS cap, s.pk_subscription AS id, show.str_name || ' at ' || alloc.str_name AS name,
       COALESCE(sum(held.cores), 0)::bigint AS used, GREATEST(s.int_burst, 0) AS allowed,
       array_remove(array_agg(held.pk_proc::text), NULL) AS procs, '{}'::text[] AS places, '' AS counted
FROM subscription s
JOIN show ON show.pk_show = s.pk_show
JOIN alloc ON alloc.pk_alloc = s.pk_alloc
LEFT JOIN held ON held.pk_show = s.pk_show AND held.pk_alloc = s.pk_alloc
GROUP BY s.pk_subscription, show.str_name, alloc.str_name
UNION ALL
SELECT dimension.cap, job.pk_job, job.str_name, dimension.used, GREATEST(dimension.allowed, 0), dimension.procs, '{}', ''
FROM job
JOIN job_resource r ON r.pk_job = job.pk_job
LEFT JOIN (SELECT pk_job, sum(cores)::bigint AS cores, sum(gpus)::bigint AS gpus, array_agg(pk_proc::text) AS procs,
                  array_agg(pk_proc::text) FILTER (WHERE gpus > 0) AS gpu_procs
           FROM held GROUP BY pk_job) sums ON sums.pk_job = job.pk_job
CROSS JOIN LATERAL (VALUES
    ('job max cores', COALESCE(sums.cores, 0), r.int_max_cores::bigint, COALESCE(sums.procs, '{}')),
    ('job max gpus', COALESCE(sums.gpus, 0), r.int_max_gpus::bigint, COALESCE(sums.gpu_procs, '{}'))
) AS dimension (cap, used, allowed, procs)
UNION ALL
SELECT dimension.cap, folder.pk_folder, show.str_name || '/' || folder.str_name, dimension.used, dimension.allowed,
       dimension.procs, '{}', COALESCE(jobs.mark, '')
FROM folder
JOIN show ON show.pk_show = folder.pk_show
JOIN folder_resource r ON r.pk_folder = folder.pk_folder
LEFT JOIN (SELECT pk_folder, md5(string_agg(pk_job, ',' ORDER BY pk_job)) AS mark FROM job GROUP BY pk_folder) jobs
       ON jobs.pk_folder = folder.pk_folder
LEFT JOIN (SELECT pk_folder, sum(cores)::bigint AS cores, sum(gpus)::bigint AS gpus, array_agg(pk_proc::text) AS procs,
                  array_agg(pk_proc::text) FILTER (WHERE gpus > 0) AS gpu_procs
           FROM held GROUP BY pk_folder) sums ON sums.pk_folder = folder.pk_folder
CROSS JOIN LATERAL (VALUES
    ('folder max cores', COALESCE(sums.cores, 0), r.int_max_cores::bigint, COALESCE(sums.procs, '{}')),
    ('folder max gpus', COALESCE(sums.gpus, 0), r.int_max_gpus::bigint, COALESCE(sums.gpu_procs, '{}'))
) AS dimension (cap, used, allowed, procs)
WHERE dimension.allowed >= 0
UNION ALL
SELECT 'limit', l.pk_limit_record, l.str_name,
       CASE WHEN l.b_host_limit THEN count(DISTINCT proc.pk_host) ELSE count(DISTINCT frame.pk_frame) END,
       GREATEST(COALESCE(l.int_max_value, 0), 0),
       COALESCE(array_agg(proc.pk_proc::text ORDER BY proc.pk_proc) FILTER (WHERE proc.pk_proc IS NOT NULL), '{}'),
       COALESCE(array_agg(l.pk_limit_record || '/' || proc.pk_host ORDER BY proc.pk_proc)
                FILTER (WHERE proc.pk_proc IS NOT NULL AND l.b_host_limit), '{}'),
       ''
FROM limit_record l
JOIN (SELECT DISTINCT pk_layer, pk_limit_record FROM layer_limit) attached
  ON attached.pk_limit_record = l.pk_limit_record
LEFT JOIN frame ON frame.pk_layer = attached.pk_layer AND frame.str_state = 'RUNNING'
LEFT JOIN proc ON proc.pk_frame = frame.pk_frame
GROUP BY l.pk_limit_record, l.str_name, l.int_max_value, l.b_host_limit
ORDER BY 1, 3
