-- What the frames of a job wait for: its active dependencies, those between single frames under the one that they come from.
-- `left_over` counts the frames of the other side that are not done. Called once by a command that a person waits for.
-- $1 job id.
SELECT d.pk_layer_depend_er AS layer, count(*) OVER () AS total,
       jo.str_name AS on_job, d.pk_job_depend_on = $1 AS inside, lo.str_name AS on_layer, fo.str_name AS on_frame,
       CASE WHEN d.pk_frame_depend_on IS NOT NULL THEN (fo.str_state NOT IN ('SUCCEEDED', 'EATEN'))::int::int8
            WHEN d.pk_layer_depend_on IS NOT NULL
                THEN ls.int_total_count - ls.int_succeeded_count - ls.int_eaten_count
            ELSE js.int_waiting_count + js.int_running_count + js.int_dead_count + js.int_depend_count
                 + js.int_checkpoint_count
       END AS left_over
FROM depend d
LEFT JOIN job jo ON jo.pk_job = d.pk_job_depend_on
LEFT JOIN job_stat js ON js.pk_job = d.pk_job_depend_on
LEFT JOIN layer lo ON lo.pk_layer = d.pk_layer_depend_on
LEFT JOIN layer_stat ls ON ls.pk_layer = d.pk_layer_depend_on
LEFT JOIN frame fo ON fo.pk_frame = d.pk_frame_depend_on
WHERE d.pk_job_depend_er = $1 AND d.b_active AND d.pk_parent IS NULL
ORDER BY d.pk_layer_depend_er, jo.str_name, lo.str_name, fo.str_name, d.pk_depend
LIMIT 200
