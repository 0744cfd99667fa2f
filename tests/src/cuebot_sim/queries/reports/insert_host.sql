-- A new host, idle. Two first reports of one host may race: one inserts.
INSERT INTO host (pk_host, pk_alloc, str_name, str_fqdn, str_lock_state, b_nimby, int_procs, int_cores, int_cores_idle,
                  int_mem, int_mem_idle, int_gpus, int_gpus_idle, int_gpu_mem, int_gpu_mem_idle)
VALUES ($1, $2, $3, $3, CASE WHEN $4 THEN 'NIMBY_LOCKED' ELSE 'OPEN' END, $5, $6, $7, $7, $8, $8, $9, $9, $10, $10)
ON CONFLICT DO NOTHING
