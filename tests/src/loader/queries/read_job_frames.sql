-- Job, layer and frame of jobs that others wait for, in dispatch order; the last column says whether the frame has ended well.
SELECT job.str_name, job.pk_job, layer.str_name, layer.pk_layer, layer.str_range, layer.int_chunk_size,
       frame.pk_frame, frame.int_number, frame.str_state IN ('SUCCEEDED', 'EATEN')
FROM job
JOIN layer ON layer.pk_job = job.pk_job
JOIN frame ON frame.pk_layer = layer.pk_layer
WHERE job.str_name = ANY ($1::text[])
ORDER BY job.str_name, layer.pk_layer, frame.int_layer_order
