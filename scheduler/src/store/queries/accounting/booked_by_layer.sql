-- What the procs of layers hold, local ones included, in a statement of its own after the rows were locked. $1 layer ids.
SELECT p.pk_layer AS key, least(sum(p.int_cores_reserved), 9223372036854775807)::int8 AS cores,
       sum(p.int_gpus_reserved)::int8 AS gpus
FROM proc p
WHERE p.pk_layer = ANY($1)
GROUP BY p.pk_layer
