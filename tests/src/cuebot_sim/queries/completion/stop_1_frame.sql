-- Stopping a frame, step 1: the frame, guarded by its state and version, so that of two reports one wins. Triggers then write
-- layer_stat and job_stat. The time of the stop is a second ahead, as Cuebot writes it.
UPDATE frame
SET str_state = $2, int_exit_status = $3, ts_stopped = now() + interval '1 second', ts_updated = now(),
    int_mem_max_used = GREATEST(int_mem_max_used, $4), int_version = int_version + 1
WHERE pk_frame = $1 AND str_state = 'RUNNING' AND int_version = $5
