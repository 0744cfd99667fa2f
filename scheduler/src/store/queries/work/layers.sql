-- The layers with waiting frames that could run in a pool, with what they ask for and what their job, folder and show may
-- still take. Starts from layer_stat rows with waiting frames (idx_layer_stat_waiting), so its cost follows the waiting
-- work, not the farm's history. Reads counters, takes no locks. Microseconds since 1970 as a float hold a time at infinity,
-- and are exact until the year 2255. Called once a pass.
-- $1 facility id, $2 allocation id.
SELECT l.pk_layer, l.str_name AS layer_name, l.int_dispatch_order, l.int_cores_min, l.int_cores_max, l.b_threadable,
       l.int_mem_min, l.int_gpus_min, l.int_gpu_mem_min, l.str_tags, l.str_services, ls.int_waiting_count,
       j.pk_job, j.str_name AS job_name, (extract(epoch FROM j.ts_started) * 1000000)::float8 AS job_started, j.str_os,
       jr.int_priority, jr.int_max_cores AS job_max_cores, jr.int_cores::int8 AS job_cores,
       jr.int_max_gpus AS job_max_gpus, jr.int_gpus AS job_gpus,
       j.pk_folder, fr.int_max_cores AS folder_max_cores, fr.int_cores AS folder_cores,
       fr.int_max_gpus AS folder_max_gpus, fr.int_gpus AS folder_gpus,
       j.pk_show, sh.str_name AS show_name, s.int_burst, s.int_cores AS subscription_cores
FROM layer_stat ls
JOIN layer l ON l.pk_layer = ls.pk_layer
JOIN job j ON j.pk_job = ls.pk_job
JOIN job_resource jr ON jr.pk_job = j.pk_job
JOIN folder_resource fr ON fr.pk_folder = j.pk_folder
JOIN show sh ON sh.pk_show = j.pk_show
JOIN subscription s ON s.pk_show = j.pk_show AND s.pk_alloc = $2
WHERE ls.int_waiting_count > 0
  AND (l.ts_start_after IS NULL OR l.ts_start_after <= now())
  AND j.str_state = 'PENDING' AND NOT j.b_paused AND j.pk_facility = $1
  AND sh.b_scheduler_managed AND sh.b_active
