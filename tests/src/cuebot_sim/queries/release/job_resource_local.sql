-- Release of a local proc: it counts in the job's own local columns and in no subscription, folder or point.
UPDATE job_resource SET int_local_cores = int_local_cores - $2, int_local_gpus = int_local_gpus - $3 WHERE pk_job = $1
