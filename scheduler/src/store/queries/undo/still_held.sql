-- Which bookings still stand: the frame runs and our proc holds it. Called while a launch of unknown outcome is settled.
-- $1 proc ids, $2 frame ids.
SELECT p.pk_proc
FROM unnest($1::text[], $2::text[]) AS u(pk_proc, pk_frame)
JOIN proc p ON p.pk_proc = u.pk_proc AND p.pk_frame = u.pk_frame
JOIN frame f ON f.pk_frame = p.pk_frame
WHERE f.str_state = 'RUNNING'
