-- Ends the dependencies on this frame, and those on its layer and job if they have ended as a whole. The guard `b_active` is
-- read again after a wait, so of two frames that end together one satisfies each dependency.
UPDATE depend
SET b_active = false, ts_satisfied = now()
WHERE b_active AND (
    (str_type = 'FRAME_ON_FRAME' AND pk_frame_depend_on = $1)
    OR (str_type = 'LAYER_ON_LAYER' AND pk_layer_depend_on = $2 AND EXISTS (
        SELECT FROM layer_stat
        WHERE pk_layer = $2 AND int_total_count = int_succeeded_count + int_eaten_count))
    OR (str_type = 'JOB_ON_JOB' AND pk_job_depend_on = $3 AND NOT EXISTS (
        SELECT FROM layer_stat
        WHERE pk_job = $3 AND int_total_count <> int_succeeded_count + int_eaten_count)))
RETURNING pk_depend, pk_parent, pk_job_depend_er AS job, pk_layer_depend_er AS layer, pk_frame_depend_er AS frame,
          str_type AS kind
