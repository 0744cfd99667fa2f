-- Hosts that have just reported all their memory free. Without these figures a host has no usable memory.
INSERT INTO host_stat (pk_host_stat, pk_host, int_mem_total, int_mem_free, int_swap_total, int_swap_free,
                       int_mcp_total, int_mcp_free, int_gpu_mem_total, int_gpu_mem_free, str_os, str_state, ts_ping)
SELECT id, id, memory, memory, 8388608, 8388608, 104857600, 104857600, gpu_memory, gpu_memory, os, 'UP', now()
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS t (id, memory, gpu_memory, os)
