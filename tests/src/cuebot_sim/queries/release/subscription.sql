-- Release, step 3: the show's use of the allocation, as it was when the proc was loaded.
UPDATE subscription SET int_cores = int_cores - $3, int_gpus = int_gpus - $4 WHERE pk_show = $1 AND pk_alloc = $2
