-- Cuebot's booking, step 1: never waits for a frame that another holds.
SELECT pk_frame FROM frame WHERE pk_frame = $1 AND str_state = 'WAITING' AND int_version = $2 FOR UPDATE NOWAIT
