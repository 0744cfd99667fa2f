-- Stopping a frame, step 4: the proc lets go of it. It holds its resources until the release, which comes later.
UPDATE proc SET pk_frame = NULL WHERE pk_proc = $1 AND pk_frame = $2
