-- The rows of the five counter tables that differ from the sums of their procs, in one snapshot. Takes no locks; what it finds
-- is summed again under the row's lock before anything is written. Procs without a frame hold what they hold, so they
-- count. Local procs count in layers only. Of finished jobs only those are looked at that still hold or count something, so
-- the cost follows the work and not the history; they are given as an array, which keeps PostgreSQL from reading the tables
-- whole. Called once a reconcile. $1 show ids.
WITH held AS MATERIALIZED (
    SELECT p.pk_show, p.pk_job, p.pk_layer, h.pk_alloc, p.b_local,
           p.int_cores_reserved AS cores, p.int_gpus_reserved AS gpus
    FROM proc p JOIN host h ON h.pk_host = p.pk_host
    WHERE p.pk_show = ANY($1)
), jobs AS MATERIALIZED (
    SELECT j.pk_job, j.pk_show, j.pk_folder, j.pk_dept
    FROM job j WHERE j.pk_show = ANY($1) AND j.str_state <> 'FINISHED'
    UNION
    SELECT j.pk_job, j.pk_show, j.pk_folder, j.pk_dept
    FROM job_resource jr JOIN job j ON j.pk_job = jr.pk_job
    WHERE (jr.int_cores > 0 OR jr.int_cores < 0 OR jr.int_gpus > 0 OR jr.int_gpus < 0) AND j.pk_show = ANY($1)
    UNION
    SELECT j.pk_job, j.pk_show, j.pk_folder, j.pk_dept
    FROM job j WHERE j.pk_job = ANY(ARRAY(SELECT DISTINCT pk_job FROM held))
), by_layer AS (
    SELECT pk_layer, sum(cores) AS cores, sum(gpus) AS gpus FROM held GROUP BY pk_layer
), by_job AS MATERIALIZED (
    SELECT pk_job, sum(cores) AS cores, sum(gpus) AS gpus FROM held WHERE NOT b_local GROUP BY pk_job
), by_folder AS (
    SELECT j.pk_folder, sum(b.cores) AS cores, sum(b.gpus) AS gpus
    FROM by_job b JOIN jobs j ON j.pk_job = b.pk_job GROUP BY j.pk_folder
), by_department AS (
    SELECT j.pk_show, j.pk_dept, sum(b.cores) AS cores, sum(b.gpus) AS gpus
    FROM by_job b JOIN jobs j ON j.pk_job = b.pk_job GROUP BY j.pk_show, j.pk_dept
), by_subscription AS (
    SELECT pk_show, pk_alloc, sum(cores) AS cores, sum(gpus) AS gpus
    FROM held WHERE NOT b_local GROUP BY pk_show, pk_alloc
)
SELECT 'subscription' AS name, s.pk_subscription AS key
FROM subscription s LEFT JOIN by_subscription b ON b.pk_show = s.pk_show AND b.pk_alloc = s.pk_alloc
WHERE s.pk_show = ANY($1) AND (s.int_cores <> coalesce(b.cores, 0) OR s.int_gpus <> coalesce(b.gpus, 0))
UNION ALL
SELECT 'layer_resource', lr.pk_layer
FROM layer_resource lr LEFT JOIN by_layer b ON b.pk_layer = lr.pk_layer
WHERE lr.pk_job = ANY(ARRAY(SELECT pk_job FROM jobs))
  AND (lr.int_cores <> coalesce(b.cores, 0) OR lr.int_gpus <> coalesce(b.gpus, 0))
UNION ALL
SELECT 'job_resource', jr.pk_job
FROM job_resource jr LEFT JOIN by_job b ON b.pk_job = jr.pk_job
WHERE jr.pk_job = ANY(ARRAY(SELECT pk_job FROM jobs))
  AND (jr.int_cores <> coalesce(b.cores, 0) OR jr.int_gpus <> coalesce(b.gpus, 0))
UNION ALL
SELECT 'folder_resource', fr.pk_folder
FROM folder_resource fr JOIN folder f ON f.pk_folder = fr.pk_folder LEFT JOIN by_folder b ON b.pk_folder = fr.pk_folder
WHERE f.pk_show = ANY($1) AND (fr.int_cores <> coalesce(b.cores, 0) OR fr.int_gpus <> coalesce(b.gpus, 0))
UNION ALL
SELECT 'point', p.pk_point
FROM point p LEFT JOIN by_department b ON b.pk_show = p.pk_show AND b.pk_dept = p.pk_dept
WHERE p.pk_show = ANY($1) AND (p.int_cores <> coalesce(b.cores, 0) OR p.int_gpus <> coalesce(b.gpus, 0))
