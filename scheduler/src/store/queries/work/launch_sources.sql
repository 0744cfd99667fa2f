-- What a RunFrame is built from, for the layers that a plan places. Called once a pass. $1 layer ids.
SELECT l.pk_layer, l.str_name AS layer_name, l.str_cmd, l.str_range, l.int_chunk_size, l.b_threadable, l.int_mem_min,
       l.str_services, j.pk_job, j.str_name AS job_name, j.str_show, j.str_shot, j.str_user, j.int_uid, j.str_log_dir,
       j.str_loki_url
FROM layer l
JOIN job j ON j.pk_job = l.pk_job
WHERE l.pk_layer = ANY($1)
