-- The environments of layers: the job's rows, then the layer's, which win. Null keys and values are the reader's to
-- drop: one bad row must not make a job unschedulable. Called once a pass. $1 layer ids.
SELECT l.pk_layer, false AS of_layer, e.str_key, e.str_value
FROM layer l
JOIN job_env e ON e.pk_job = l.pk_job
WHERE l.pk_layer = ANY($1)
UNION ALL
SELECT e.pk_layer, true, e.str_key, e.str_value
FROM layer_env e
WHERE e.pk_layer = ANY($1)
