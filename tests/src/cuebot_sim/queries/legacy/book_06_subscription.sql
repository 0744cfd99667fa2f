-- Cuebot's booking, step 6: the trigger raises above the burst. The allocation is the host's as loaded.
UPDATE subscription SET int_cores = int_cores + $3, int_gpus = int_gpus + $4 WHERE pk_show = $1 AND pk_alloc = $2
