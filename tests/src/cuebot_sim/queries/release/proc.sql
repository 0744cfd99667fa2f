-- Release, step 1: the proc, with the amounts that it holds now, since its memory may have grown. No row: somebody else
-- released it, and nothing more happens.
DELETE FROM proc
WHERE pk_proc = $1
RETURNING pk_host, pk_show, pk_job, pk_layer, b_local,
          int_cores_reserved AS cores, int_mem_reserved AS memory,
          int_gpus_reserved AS gpus, int_gpu_mem_reserved AS gpu_memory
