-- Undo, frames: back to WAITING with 299 (cleared), after which no retry is counted and the history row vanishes.
-- Frames are found by their ids, whatever the statistics say of states: see booking/claim.
-- $1 frame ids, $2 versions after the start.
UPDATE frame f
SET str_state = 'WAITING', int_exit_status = 299, ts_stopped = now(), ts_updated = now(), int_version = f.int_version + 1
FROM unnest($1::text[], $2::int[]) AS u(pk_frame, version)
WHERE f.pk_frame = u.pk_frame AND coalesce(f.str_state, '') = 'RUNNING' AND f.int_version = u.version
  AND NOT EXISTS (SELECT FROM proc p WHERE p.pk_frame = f.pk_frame)
RETURNING f.pk_frame
