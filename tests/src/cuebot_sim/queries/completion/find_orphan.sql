-- A RUNNING frame that no proc holds: a report about it ends it, since nobody else will.
SELECT frame.pk_frame, frame.pk_layer, frame.pk_job, frame.int_version, frame.int_retries, frame.int_exit_status,
       job.int_max_retries, job.b_autoeat, layer.int_timeout, layer.int_timeout_llu
FROM frame
JOIN layer ON layer.pk_layer = frame.pk_layer
JOIN job ON job.pk_job = frame.pk_job
WHERE frame.pk_frame = $1
  AND frame.str_state = 'RUNNING'
  AND NOT EXISTS (SELECT FROM proc WHERE proc.pk_frame = frame.pk_frame)
