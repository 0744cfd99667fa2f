-- Which bookings still stand: the frame runs as our start left it, and our proc holds it. Called while a launch of unknown
-- outcome is settled, and after an undo that skipped locked frames. $1 proc ids, $2 frame ids, $3 versions after the start.
SELECT p.pk_proc
FROM unnest($1::text[], $2::text[], $3::int[]) AS u(pk_proc, pk_frame, version)
JOIN proc p ON p.pk_proc = u.pk_proc AND p.pk_frame = u.pk_frame
JOIN frame f ON f.pk_frame = p.pk_frame
WHERE coalesce(f.str_state, '') = 'RUNNING' AND f.int_version = u.version
