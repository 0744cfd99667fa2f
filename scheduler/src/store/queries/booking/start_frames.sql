-- Step 4, frames: starts them, guarded by state, version and start-after, job PENDING and not paused, show managed and
-- active, counters not at the end of their columns. What is not returned was not started. The retry counter rises exactly when Cuebot would raise it: not for a
-- frame that never ran or whose last end was no failure of its own.
-- $1 frame ids, $2 versions, $3 host names, $4 centicores, $5 memory KB, $6 GPUs, $7 GPU memory KB, $8 exit statuses
-- that count as no failure.
UPDATE frame f
SET str_state = 'RUNNING', str_host = p.host, int_cores = p.cores, int_mem_reserved = p.mem, int_gpus = p.gpus,
    int_gpu_mem_reserved = p.gpu_mem, ts_updated = now(), ts_started = now(), ts_stopped = NULL,
    int_version = coalesce(f.int_version, 0) + 1,
    int_retries = f.int_retries + CASE WHEN f.int_exit_status = ANY($8::int8[]) THEN 0 ELSE 1 END
FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::int8[], $6::int[], $7::int8[])
         AS p(pk_frame, version, host, cores, mem, gpus, gpu_mem),
     layer l, job j, show sh
WHERE f.pk_frame = p.pk_frame AND f.str_state = 'WAITING' AND f.int_version IS NOT DISTINCT FROM p.version
  AND coalesce(f.int_version, 0) < 2147483647 AND f.int_retries < 9223372036854775807
  AND l.pk_layer = f.pk_layer AND (l.ts_start_after IS NULL OR l.ts_start_after <= now())
  AND j.pk_job = f.pk_job AND j.str_state = 'PENDING' AND NOT j.b_paused
  AND sh.pk_show = j.pk_show AND sh.b_scheduler_managed AND sh.b_active
RETURNING f.pk_frame, f.int_version
