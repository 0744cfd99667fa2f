-- A host without procs is all idle, whatever its rows say: totals are those of the report. Heals lost idle amounts.
UPDATE host
SET b_nimby = $2, int_procs = $3, int_cores = $4, int_cores_idle = $4, int_mem = $5, int_mem_idle = $5,
    int_gpus = $6, int_gpus_idle = $6, int_gpu_mem = $7, int_gpu_mem_idle = $7
WHERE pk_host = $1 AND NOT EXISTS (SELECT FROM proc WHERE proc.pk_host = $1)
