-- Frames that two procs hold. Unlike other questions about running frames, this one has the same answer at every instant.
SELECT 'procs on one frame' AS what, frame.pk_frame AS id, max(frame.str_name) AS name, count(*) AS found, 1::bigint AS expected
FROM proc
JOIN frame ON frame.pk_frame = proc.pk_frame
GROUP BY frame.pk_frame
HAVING count(*) > 1
