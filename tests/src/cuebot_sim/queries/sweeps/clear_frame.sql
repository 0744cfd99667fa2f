-- A frame that runs no more: back to WAITING (or DEAD when nobody could say whether it still runs), unless a proc holds it.
UPDATE frame
SET str_state = $2, int_exit_status = $3, ts_stopped = now(), ts_updated = now(), int_version = int_version + 1
WHERE pk_frame = $1 AND str_state = 'RUNNING' AND int_version = $4
  AND NOT EXISTS (SELECT FROM proc WHERE proc.pk_frame = frame.pk_frame)
