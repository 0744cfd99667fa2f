-- The proc of a report, with its allocation as it is now: the release gives back to the allocation *as loaded here*, even if
-- the host has moved meanwhile. The frame is the one that the proc holds, not the one that was reported.
SELECT proc.pk_proc, proc.pk_show, proc.pk_job, proc.pk_layer, proc.pk_frame, host.pk_alloc, host.str_name AS host_name,
       proc.int_mem_reserved, frame.str_state, frame.int_version, frame.int_retries, frame.int_exit_status,
       job.int_max_retries, job.b_autoeat, layer.int_timeout, layer.int_timeout_llu
FROM proc
JOIN host ON host.pk_host = proc.pk_host
LEFT JOIN frame ON frame.pk_frame = proc.pk_frame
LEFT JOIN layer ON layer.pk_layer = proc.pk_layer
LEFT JOIN job ON job.pk_job = proc.pk_job
WHERE proc.pk_proc = $1
