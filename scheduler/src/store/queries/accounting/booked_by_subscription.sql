-- What the procs of subscriptions hold, in a statement of its own after the rows were locked. A subscription without procs has
-- no row. Local procs are not the subscription's. $1 subscription ids.
SELECT s.pk_subscription AS key, least(sum(p.int_cores_reserved), 9223372036854775807)::int8 AS cores,
       sum(p.int_gpus_reserved)::int8 AS gpus
FROM subscription s
JOIN proc p ON p.pk_show = s.pk_show
JOIN host h ON h.pk_host = p.pk_host AND h.pk_alloc = s.pk_alloc
WHERE s.pk_subscription = ANY($1) AND NOT p.b_local
GROUP BY s.pk_subscription
