-- The hosts of an allocation that may be booked, with what is idle: OPEN, UP, heard of within $2 seconds by the database's
-- clock, and lent to nobody: a host with a local assignment is for the frames of that job, which Cuebot books. Memory is no
-- more than is measured free. What the load leaves of the cores is computed by the reader, where absurd figures can't fail
-- the others. With $3 only hosts with at least one idle core. Of an allocation that is cut, one slice. Lives on
-- i_host_pkalloc. $1 allocation id, $4 number of slices (a power of two), $5 which one.
SELECT h.pk_host, h.str_name, hs.str_os, h.int_thread_mode, h.int_cores,
       h.int_cores_idle, hs.int_load,
       hs.int_mem_total, least(h.int_mem_idle, hs.int_mem_free) AS mem_idle,
       h.int_gpus, h.int_gpus_idle, h.int_gpu_mem, least(h.int_gpu_mem_idle, hs.int_gpu_mem_free) AS gpu_mem_idle
FROM host h
JOIN host_stat hs ON hs.pk_host = h.pk_host
WHERE h.pk_alloc = $1
  AND h.str_lock_state = 'OPEN' AND hs.str_state = 'UP'
  AND hs.ts_ping > now() - make_interval(secs => $2)
  AND NOT EXISTS (SELECT FROM host_local hl WHERE hl.pk_host = h.pk_host)
  AND (NOT $3 OR h.int_cores_idle >= 100)
  AND ($4::int = 1 OR hashtextextended(h.pk_host, 0) & ($4 - 1) = $5)
