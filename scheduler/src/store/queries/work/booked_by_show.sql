-- What shows really hold on the hosts of an allocation. Local procs are not the subscription's. $1 show ids, $2 allocation.
SELECT p.pk_show AS key, least(sum(p.int_cores_reserved), 9223372036854775807)::int8 AS cores,
       sum(p.int_gpus_reserved)::int8 AS gpus
FROM proc p
JOIN host h ON h.pk_host = p.pk_host
WHERE p.pk_show = ANY($1) AND h.pk_alloc = $2 AND NOT p.b_local
GROUP BY p.pk_show
