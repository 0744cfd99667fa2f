-- Step 6: locks what the booking takes from and counts in, in Cuebot's order (host, subscription, layer_resource,
-- job_resource, folder_resource, point), sorted inside each table, and returns the values as they are under the lock.
-- Each part is gated by the count of the one before it, so that PostgreSQL runs them in this order. The allocation and
-- the folder are those of now, not those of the plan.
-- $1 host ids, $2 show id, $3 layer ids, $4 job ids.
WITH hosts AS MATERIALIZED (
    SELECT h.pk_host, h.pk_alloc, h.str_lock_state = 'OPEN' AND hs.str_state = 'UP'
               AND NOT EXISTS (SELECT FROM host_local hl WHERE hl.pk_host = h.pk_host) AS open,
           h.int_cores_idle, h.int_mem_idle, h.int_gpus_idle, h.int_gpu_mem_idle
    FROM host h JOIN host_stat hs ON hs.pk_host = h.pk_host
    WHERE h.pk_host = ANY($1) ORDER BY h.pk_host FOR NO KEY UPDATE OF h
), subscriptions AS MATERIALIZED (
    SELECT s.pk_alloc, s.int_cores, s.int_gpus, s.int_burst
    FROM subscription s
    WHERE s.pk_show = $2 AND s.pk_alloc = ANY(ARRAY(SELECT DISTINCT pk_alloc FROM hosts))
    ORDER BY s.pk_subscription FOR NO KEY UPDATE
), layers AS MATERIALIZED (
    SELECT lr.pk_layer FROM layer_resource lr
    WHERE lr.pk_layer = ANY($3) AND (SELECT count(*) FROM subscriptions) >= 0
    ORDER BY lr.pk_layer FOR NO KEY UPDATE
), jobs AS MATERIALIZED (
    SELECT jr.pk_job, j.pk_folder, j.pk_dept, jr.int_cores, jr.int_max_cores, jr.int_gpus, jr.int_max_gpus
    FROM job_resource jr JOIN job j ON j.pk_job = jr.pk_job
    WHERE jr.pk_job = ANY($4) AND (SELECT count(*) FROM layers) >= 0
    ORDER BY jr.pk_job FOR NO KEY UPDATE OF jr
), folders AS MATERIALIZED (
    SELECT fr.pk_folder, fr.int_cores, fr.int_max_cores, fr.int_gpus, fr.int_max_gpus
    FROM folder_resource fr
    WHERE fr.pk_folder = ANY(ARRAY(SELECT DISTINCT pk_folder FROM jobs))
    ORDER BY fr.pk_folder FOR NO KEY UPDATE
), points AS MATERIALIZED (
    SELECT p.pk_dept FROM point p
    WHERE p.pk_show = $2 AND p.pk_dept = ANY(ARRAY(SELECT DISTINCT pk_dept FROM jobs))
      AND (SELECT count(*) FROM folders) >= 0
    ORDER BY p.pk_dept FOR NO KEY UPDATE
)
SELECT 1 AS kind, pk_host AS key, pk_alloc AS other, open, int_cores_idle::int8 AS a, int_mem_idle::int8 AS b, int_gpus_idle::int8 AS c, int_gpu_mem_idle::int8 AS d, NULL AS third
FROM hosts
UNION ALL SELECT 2, pk_alloc, NULL, true, int_cores, int_burst, int_gpus, 0, NULL FROM subscriptions
UNION ALL SELECT 4, pk_job, pk_folder, true, int_cores, int_max_cores, int_gpus, int_max_gpus, pk_dept FROM jobs
UNION ALL SELECT 5, pk_folder, NULL, true, int_cores, int_max_cores, int_gpus, int_max_gpus, NULL FROM folders
UNION ALL SELECT 6, pk_dept, NULL, true, 0, 0, 0, 0, NULL FROM points
