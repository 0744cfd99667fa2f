-- The limits of the given layers, each with its maximum, the frames that run under it anywhere, and whether it counts hosts
-- instead. A layer attached twice counts once. A layer_limit row without its limit_record limits nothing. Called once a
-- pass. $1 layer ids.
WITH wanted AS (
    SELECT DISTINCT ll.pk_layer, ll.pk_limit_record
    FROM layer_limit ll
    WHERE ll.pk_layer = ANY($1)
), running AS (
    SELECT a.pk_limit_record,
           least(greatest(sum(ls.int_running_count), -9223372036854775808), 9223372036854775807)::int8 AS frames
    FROM (SELECT DISTINCT ll.pk_limit_record, ll.pk_layer
          FROM layer_limit ll
          WHERE ll.pk_limit_record IN (SELECT pk_limit_record FROM wanted)) a
    JOIN layer_stat ls ON ls.pk_layer = a.pk_layer
    GROUP BY a.pk_limit_record
)
SELECT w.pk_layer, lr.pk_limit_record, lr.str_name AS limit_name, lr.int_max_value::int8 AS max_value,
       coalesce(r.frames, 0) AS running, lr.b_host_limit
FROM wanted w
JOIN limit_record lr ON lr.pk_limit_record = w.pk_limit_record
LEFT JOIN running r ON r.pk_limit_record = w.pk_limit_record
