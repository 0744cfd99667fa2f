-- Undo, frames: locks the frames that still run under our start and our proc. One that Cuebot is just stopping is skipped
-- and stays Cuebot's. Frames are found by their ids, whatever the statistics say of states: see booking/claim.
-- $1 frame ids, $2 versions after the start, $3 proc ids.
SELECT f.pk_frame, f.pk_layer, f.pk_job
FROM unnest($1::text[], $2::int[], $3::text[]) AS u(pk_frame, version, pk_proc)
JOIN frame f ON f.pk_frame = u.pk_frame
JOIN proc p ON p.pk_proc = u.pk_proc AND p.pk_frame = f.pk_frame
WHERE coalesce(f.str_state, '') = 'RUNNING' AND f.int_version = u.version
ORDER BY f.pk_frame
FOR UPDATE OF f SKIP LOCKED
