-- Writes true sums into the resources of jobs that are locked, past the trigger that holds the maxima; see
-- accounting/set_subscriptions. $1 keys, $2 centicores, $3 GPUs.
UPDATE job_resource jr
SET int_cores = w.cores, int_gpus = w.gpus, int_max_cores = ~jr.int_max_cores, int_max_gpus = ~jr.int_max_gpus
FROM unnest($1::text[], $2::int8[], $3::int[]) AS w(key, cores, gpus)
WHERE jr.pk_job = w.key
