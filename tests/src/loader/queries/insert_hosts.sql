-- Hosts with everything idle; a name that is a plain address counts as the full name too.
INSERT INTO host (pk_host, pk_alloc, str_name, str_fqdn, str_lock_state, int_cores, int_cores_idle, int_procs,
                  int_mem, int_mem_idle, int_gpus, int_gpus_idle, int_gpu_mem, int_gpu_mem_idle,
                  int_thread_mode, str_tags)
SELECT id, alloc, name, name, lock_state, cores, cores, GREATEST(cores / 100, 1),
       memory, memory, gpus, gpus, gpu_memory, gpu_memory, thread_mode, tags
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::int[], $10::text[])
     AS t (id, alloc, name, lock_state, cores, memory, gpus, gpu_memory, thread_mode, tags)
