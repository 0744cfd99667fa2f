-- Second half of accounting/set_jobs. $1 keys.
UPDATE job_resource SET int_max_cores = ~int_max_cores, int_max_gpus = ~int_max_gpus WHERE pk_job = ANY($1)
