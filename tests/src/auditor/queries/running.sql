-- A frame is RUNNING exactly when a proc holds it, and that proc names the frame's own layer, job and show.
SELECT 'running frame without proc' AS what, frame.pk_frame AS id, job.str_name || '/' || frame.str_name AS name,
       0::bigint AS found, 1::bigint AS expected
FROM frame
JOIN job ON job.pk_job = frame.pk_job
LEFT JOIN proc ON proc.pk_frame = frame.pk_frame
WHERE frame.str_state = 'RUNNING' AND proc.pk_proc IS NULL
UNION ALL
SELECT 'proc on a frame that is ' || frame.str_state, frame.pk_frame, job.str_name || '/' || frame.str_name, 1, 0
FROM proc
JOIN frame ON frame.pk_frame = proc.pk_frame
JOIN job ON job.pk_job = frame.pk_job
WHERE frame.str_state <> 'RUNNING'
UNION ALL
SELECT 'proc whose layer, job or show is not its frame''s', proc.pk_proc, job.str_name || '/' || frame.str_name, 1, 0
FROM proc
JOIN frame ON frame.pk_frame = proc.pk_frame
JOIN job ON job.pk_job = frame.pk_job
WHERE (proc.pk_layer, proc.pk_job, proc.pk_show) IS DISTINCT FROM (frame.pk_layer, frame.pk_job, job.pk_show)
UNION ALL
SELECT 'procs on one frame', frame.pk_frame, max(frame.str_name), count(*), 1
FROM proc
JOIN frame ON frame.pk_frame = proc.pk_frame
GROUP BY frame.pk_frame
HAVING count(*) > 1
ORDER BY 1, 3
