-- Some waiting frames of the shows that Cuebot books itself, each with a host that has room: plain reads, no locks. The
-- statements of the booking decide. $1: also managed shows, as deeds and redirects do. $2: how many.
-- One job at a time, as Cuebot goes through its queue; any of them, so that two bookers seldom choose the same.
WITH open AS MATERIALIZED (
    SELECT job.pk_job
    FROM show
    JOIN job ON job.pk_show = show.pk_show AND job.str_state = 'PENDING' AND NOT job.b_paused
    JOIN job_resource r ON r.pk_job = job.pk_job AND r.int_max_cores - r.int_cores >= 100
    WHERE ($1 OR NOT show.b_scheduler_managed)
      AND EXISTS (SELECT FROM frame WHERE frame.pk_job = job.pk_job AND frame.str_state = 'WAITING')
    ORDER BY random()
    LIMIT 1
)
SELECT frame.pk_frame, frame.int_version, frame.pk_layer, frame.pk_job, job.pk_show, place.pk_host, place.pk_alloc,
       place.str_name AS host_name, layer.int_cores_min AS cores, layer.int_mem_min AS memory,
       layer.int_gpus_min::int AS gpus, layer.int_gpu_mem_min AS gpu_memory
FROM (SELECT frame.pk_frame, frame.int_version, frame.pk_layer, frame.pk_job
      FROM open
      JOIN frame ON frame.pk_job = open.pk_job AND frame.str_state = 'WAITING'
      ORDER BY random()
      LIMIT $2) AS frame
JOIN layer ON layer.pk_layer = frame.pk_layer AND layer.int_cores_min > 0
JOIN job ON job.pk_job = frame.pk_job
CROSS JOIN LATERAL (
    SELECT host.pk_host, host.pk_alloc, host.str_name
    FROM host
    JOIN host_stat ON host_stat.pk_host = host.pk_host AND host_stat.str_state = 'UP'
    JOIN alloc ON alloc.pk_alloc = host.pk_alloc AND alloc.pk_facility = job.pk_facility
    JOIN subscription s ON s.pk_alloc = alloc.pk_alloc AND s.pk_show = job.pk_show AND s.int_cores < s.int_burst
    WHERE host.str_lock_state = 'OPEN'
      AND (job.str_os IS NULL OR job.str_os = ANY (string_to_array(host_stat.str_os, ',')))
      AND host.int_cores_idle >= layer.int_cores_min AND host.int_mem_idle >= layer.int_mem_min
      AND host.int_gpus_idle >= layer.int_gpus_min AND host.int_gpu_mem_idle >= layer.int_gpu_mem_min
      AND EXISTS (SELECT FROM host_tag
                  WHERE host_tag.pk_host = host.pk_host
                    AND host_tag.str_tag = ANY (string_to_array(replace(layer.str_tags, ' ', ''), '|')))
    ORDER BY random()
    LIMIT 1) AS place
