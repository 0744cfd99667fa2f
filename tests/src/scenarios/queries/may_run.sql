-- Layers that some host could run when it is idle: open, of the job's facility, with one of the layer's tags, an OS of the job's if
-- it wants one, and large enough. $1 layer ids.
SELECT layer.pk_layer
FROM layer
JOIN job ON job.pk_job = layer.pk_job
WHERE layer.pk_layer = ANY ($1)
  AND EXISTS (
      SELECT FROM host
      JOIN host_stat ON host_stat.pk_host = host.pk_host
      JOIN alloc ON alloc.pk_alloc = host.pk_alloc AND alloc.pk_facility = job.pk_facility
      JOIN subscription ON subscription.pk_alloc = alloc.pk_alloc AND subscription.pk_show = job.pk_show
      WHERE host.str_lock_state = 'OPEN' AND subscription.int_burst > 0
        AND host.int_cores >= layer.int_cores_min AND host.int_mem >= layer.int_mem_min
        AND (job.str_os IS NULL OR job.str_os = ANY (string_to_array(host_stat.str_os, ',')))
        AND EXISTS (SELECT FROM host_tag
                    WHERE host_tag.pk_host = host.pk_host
                      AND host_tag.str_tag = ANY (regexp_split_to_array(layer.str_tags, '\s*\|\s*'))))
