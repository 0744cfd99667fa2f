-- Step 4, frames: starts them, guarded by state, version and start-after, job PENDING and not paused, show managed and
-- active, counters not at the end of their columns. What is not returned was not started. The retry counter rises exactly when Cuebot would raise it: not for a
-- frame that never ran or whose last end was no failure of its own.
-- Each frame, layer and job is looked up by its own id, whatever the statistics say: before the first ANALYZE after a large
-- submission they say that hardly anything waits, and a plan that begins with all waiting frames looks good. Hence OFFSET 0,
-- which PostgreSQL plans by itself, and an update whose conditions no other index serves: any change of state raises the version.
-- $1 frame ids, $2 versions, $3 host names, $4 centicores, $5 memory KB, $6 GPUs, $7 GPU memory KB, $8 exit statuses
-- that count as no failure.
WITH startable AS MATERIALIZED (
    SELECT p.*
    FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::int8[], $6::int[], $7::int8[])
             AS p(pk_frame, version, host, cores, mem, gpus, gpu_mem)
    CROSS JOIN LATERAL (
        SELECT f.pk_layer, f.pk_job, f.str_state, f.int_version, f.int_retries
        FROM frame f WHERE f.pk_frame = p.pk_frame OFFSET 0
    ) f
    CROSS JOIN LATERAL (SELECT l.ts_start_after AS start_after FROM layer l WHERE l.pk_layer = f.pk_layer OFFSET 0) l
    CROSS JOIN LATERAL (SELECT j.pk_show, j.str_state, j.b_paused FROM job j WHERE j.pk_job = f.pk_job OFFSET 0) j
    JOIN show sh ON sh.pk_show = j.pk_show
    WHERE f.str_state = 'WAITING' AND f.int_version IS NOT DISTINCT FROM p.version
      AND coalesce(f.int_version, 0) < 2147483647 AND f.int_retries < 9223372036854775807
      AND (l.start_after IS NULL OR l.start_after <= now())
      AND j.str_state = 'PENDING' AND NOT j.b_paused AND sh.b_scheduler_managed AND sh.b_active
)
UPDATE frame f
SET str_state = 'RUNNING', str_host = p.host, int_cores = p.cores, int_mem_reserved = p.mem, int_gpus = p.gpus,
    int_gpu_mem_reserved = p.gpu_mem, ts_updated = now(), ts_started = now(), ts_stopped = NULL,
    int_version = coalesce(f.int_version, 0) + 1,
    int_retries = f.int_retries + CASE WHEN f.int_exit_status = ANY($8::int8[]) THEN 0 ELSE 1 END
FROM startable p
WHERE f.pk_frame = p.pk_frame AND f.int_version IS NOT DISTINCT FROM p.version
RETURNING f.pk_frame, f.int_version
