-- Writes true sums into subscriptions that are locked. The trigger that holds the burst is silent where the burst changes too:
-- a sum above a lowered burst is written with the burst complemented, and accounting/restore_subscriptions complements it
-- back. No reader sees the state between, and an edit of the burst by a user is never lost. $1 keys, $2 centicores, $3 GPUs.
UPDATE subscription s SET int_cores = w.cores, int_gpus = w.gpus, int_burst = ~s.int_burst
FROM unnest($1::text[], $2::int[], $3::int[]) AS w(key, cores, gpus)
WHERE s.pk_subscription = w.key
