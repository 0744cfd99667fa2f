-- The layers of a job with their frames by state, and how long until they may start. Called once by a command that a person
-- waits for. $1 job id.
SELECT l.pk_layer, l.str_name, l.str_tags,
       greatest(extract(epoch FROM l.ts_start_after - now()), 0)::float8 AS starts_in,
       to_char(l.ts_start_after AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS start_after,
       ls.int_total_count, ls.int_waiting_count, ls.int_running_count, ls.int_depend_count, ls.int_succeeded_count,
       ls.int_dead_count, ls.int_eaten_count, ls.int_checkpoint_count
FROM layer l
JOIN layer_stat ls ON ls.pk_layer = l.pk_layer
WHERE l.pk_job = $1
ORDER BY l.int_dispatch_order, l.str_name, l.pk_layer
