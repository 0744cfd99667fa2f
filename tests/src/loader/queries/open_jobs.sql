UPDATE job
SET str_state = 'PENDING', ts_updated = now(),
    int_frame_count = COALESCE((SELECT sum(int_total_count) FROM layer_stat WHERE layer_stat.pk_job = job.pk_job), 0)
WHERE pk_job = ANY ($1::text[]) AND str_state = 'STARTUP'
