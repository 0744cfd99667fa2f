-- Cuebot's booking, step 2: the frame runs. Triggers write the history, layer_stat and job_stat. The limits of the layer are
-- looked at in the guard.
UPDATE frame
SET str_state = 'RUNNING', str_host = $3, int_cores = $4, int_mem_reserved = $5, int_gpus = $6,
    int_gpu_mem_reserved = $7, ts_started = now(), ts_updated = now(), ts_stopped = NULL, int_version = int_version + 1
WHERE pk_frame = $1 AND str_state = 'WAITING' AND int_version = $2
  AND NOT EXISTS (SELECT FROM layer WHERE layer.pk_layer = frame.pk_layer AND layer.ts_start_after > now())
  AND NOT EXISTS (
      SELECT FROM layer_limit own
      JOIN limit_record ON limit_record.pk_limit_record = own.pk_limit_record
      WHERE own.pk_layer = frame.pk_layer
        AND (SELECT COALESCE(sum(layer_stat.int_running_count), 0)
             FROM layer_limit other
             JOIN layer_stat ON layer_stat.pk_layer = other.pk_layer
             WHERE other.pk_limit_record = own.pk_limit_record) >= COALESCE(limit_record.int_max_value, 0))
