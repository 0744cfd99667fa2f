-- Procs on the hosts of these pools that somebody booked for a managed show at least $4 seconds ago, by the database's clock, and
-- that no report has named since. Called when a pool was taken, and every half minute for all that are ours; finds nothing on
-- a farm without accidents. Lives on i_host_pkalloc and i_proc_pkhost. The oldest first, at most $5.
-- $1 allocation ids, $2 numbers of slices (powers of two), $3 which slices.
SELECT p.pk_proc, p.pk_frame, f.int_version, p.pk_host, h.str_name AS host_name, s.str_name AS show_name,
       p.int_cores_reserved, p.int_mem_reserved, p.int_gpus_reserved, p.int_gpu_mem_reserved
FROM unnest($1::text[], $2::int[], $3::int[]) AS pool(pk_alloc, slices, slice)
JOIN host h ON h.pk_alloc = pool.pk_alloc
           AND (pool.slices = 1 OR hashtextextended(h.pk_host, 0) & (pool.slices - 1) = pool.slice)
JOIN proc p ON p.pk_host = h.pk_host
JOIN frame f ON f.pk_frame = p.pk_frame
JOIN show s ON s.pk_show = p.pk_show
WHERE p.ts_ping = p.ts_booked AND p.ts_booked < now() - make_interval(secs => $4) AND NOT p.b_local
  AND f.str_state = 'RUNNING' AND s.b_scheduler_managed
ORDER BY p.ts_booked
LIMIT $5
