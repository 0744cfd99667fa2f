-- Writes true sums into rows of point that are locked. $1 keys, $2 centicores, $3 GPUs.
UPDATE point t SET int_cores = w.cores, int_gpus = w.gpus
FROM unnest($1::text[], $2::int[], $3::int[]) AS w(key, cores, gpus)
WHERE t.pk_point = w.key
