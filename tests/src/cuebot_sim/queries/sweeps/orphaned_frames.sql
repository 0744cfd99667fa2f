-- RUNNING frames of live jobs that no proc holds and nobody has touched for long.
SELECT frame.pk_frame, frame.int_version
FROM job
JOIN frame ON frame.pk_job = job.pk_job
WHERE job.str_state = 'PENDING' AND frame.str_state = 'RUNNING'
  AND frame.ts_updated < now() - make_interval(secs => $1)
  AND NOT EXISTS (SELECT FROM proc WHERE proc.pk_frame = frame.pk_frame)
LIMIT 100
