-- Step 2, limits: how many frames run under each limit, and whether it counts hosts instead, in a statement of its own after
-- the lock. $1 limit ids.
SELECT lr.pk_limit_record, lr.int_max_value::int8 AS max_value,
       coalesce((SELECT least(greatest(sum(ls.int_running_count), -9223372036854775808), 9223372036854775807)
                 FROM layer_stat ls
                 WHERE ls.pk_layer IN (SELECT ll.pk_layer FROM layer_limit ll
                                       WHERE ll.pk_limit_record = lr.pk_limit_record)), 0)::int8 AS running,
       lr.b_host_limit
FROM limit_record lr
WHERE lr.pk_limit_record = ANY($1)
