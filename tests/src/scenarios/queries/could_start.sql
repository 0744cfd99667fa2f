-- Frames of these jobs that nothing but want of room keeps from starting, by layer. $1 job ids.
SELECT layer.pk_layer, job.str_name || '/' || layer.str_name AS name, show.str_name AS show, count(*) AS frames
FROM frame
JOIN layer ON layer.pk_layer = frame.pk_layer
JOIN job ON job.pk_job = frame.pk_job
JOIN show ON show.pk_show = job.pk_show
WHERE frame.pk_job = ANY ($1) AND frame.str_state = 'WAITING'
  AND job.str_state = 'PENDING' AND NOT job.b_paused
  AND show.b_scheduler_managed AND show.b_active
  AND (layer.ts_start_after IS NULL OR layer.ts_start_after <= now())
GROUP BY 1, 2, 3
