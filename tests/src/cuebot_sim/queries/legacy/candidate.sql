-- One frame and one host, by id and name, whether or not they go together.
SELECT frame.pk_frame, frame.int_version, frame.pk_layer, frame.pk_job, job.pk_show, host.pk_host, host.pk_alloc,
       host.str_name AS host_name, layer.int_cores_min AS cores, layer.int_mem_min AS memory,
       layer.int_gpus_min::int AS gpus, layer.int_gpu_mem_min AS gpu_memory
FROM frame
JOIN layer ON layer.pk_layer = frame.pk_layer
JOIN job ON job.pk_job = frame.pk_job
CROSS JOIN host
WHERE frame.pk_frame = $1 AND host.str_name = $2
