-- Step 5, procs. A frame that some proc still holds gives no row: a stale proc is Cuebot's to sweep.
-- $1 proc ids, $2 host ids, $3 show id, $4 layer ids, $5 job ids, $6 frame ids, $7 centicores, $8 memory KB, $9 GPUs,
-- $10 GPU memory KB, $11 first figure of used memory in KB.
INSERT INTO proc (pk_proc, pk_host, pk_show, pk_layer, pk_job, pk_frame, int_cores_reserved, int_mem_reserved,
                  int_mem_pre_reserved, int_mem_used, int_gpus_reserved, int_gpu_mem_reserved, int_gpu_mem_pre_reserved,
                  int_gpu_mem_used, b_local)
SELECT p.pk_proc, p.pk_host, $3, p.pk_layer, p.pk_job, p.pk_frame, p.cores, p.mem, p.mem, $11, p.gpus, p.gpu_mem, p.gpu_mem,
       0, false
FROM unnest($1::text[], $2::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::int8[], $9::int[], $10::int8[])
         AS p(pk_proc, pk_host, pk_layer, pk_job, pk_frame, cores, mem, gpus, gpu_mem)
ON CONFLICT (pk_frame) DO NOTHING
RETURNING pk_proc
