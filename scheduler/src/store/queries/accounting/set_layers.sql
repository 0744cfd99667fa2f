-- Writes true sums into rows of layer_resource that are locked. $1 keys, $2 centicores, $3 GPUs.
UPDATE layer_resource t SET int_cores = w.cores, int_gpus = w.gpus
FROM unnest($1::text[], $2::int8[], $3::int[]) AS w(key, cores, gpus)
WHERE t.pk_layer = w.key
