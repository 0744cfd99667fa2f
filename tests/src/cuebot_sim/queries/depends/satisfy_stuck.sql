-- The sweep: dependencies that are still active although what they wait for has ended, whatever the reason. Dependencies made
-- while their other side ended are such.
UPDATE depend
SET b_active = false, ts_satisfied = now()
WHERE b_active AND (
    (str_type = 'FRAME_ON_FRAME' AND EXISTS (
        SELECT FROM frame WHERE pk_frame = pk_frame_depend_on AND str_state IN ('SUCCEEDED', 'EATEN')))
    OR (str_type = 'LAYER_ON_LAYER' AND EXISTS (
        SELECT FROM layer_stat
        WHERE pk_layer = pk_layer_depend_on AND int_total_count = int_succeeded_count + int_eaten_count))
    OR (str_type = 'JOB_ON_JOB' AND NOT EXISTS (
        SELECT FROM layer_stat
        WHERE pk_job = pk_job_depend_on AND int_total_count <> int_succeeded_count + int_eaten_count)))
RETURNING pk_depend, pk_parent, pk_job_depend_er AS job, pk_layer_depend_er AS layer, pk_frame_depend_er AS frame,
          str_type AS kind
