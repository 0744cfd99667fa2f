-- After step 7, only with host_cache.update_stat_on_book: takes what is booked off the free memory that hosts reported last, as
-- if they had reported again. For tests without agents that report; the rows are outside the order of locks.
-- $1 host ids, $2 memory, $3 GPU memory.
UPDATE host_stat hs
SET int_mem_free = greatest(hs.int_mem_free - w.mem, 0), int_gpu_mem_free = greatest(hs.int_gpu_mem_free - w.gpu_mem, 0)
FROM unnest($1::text[], $2::int8[], $3::int8[]) AS w(pk_host, mem, gpu_mem)
WHERE hs.pk_host = w.pk_host
