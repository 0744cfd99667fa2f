-- Idle must be the total less what procs hold, in each dimension, and never negative.
WITH facts AS (
    SELECT host.pk_host AS id, host.str_name AS name, dimension.*
    FROM host
    LEFT JOIN (SELECT pk_host,
                      sum(int_cores_reserved) AS cores, sum(int_mem_reserved) AS memory,
                      sum(int_gpus_reserved) AS gpus, sum(int_gpu_mem_reserved) AS gpu_memory
               FROM proc GROUP BY pk_host) held ON held.pk_host = host.pk_host
    CROSS JOIN LATERAL (VALUES
        ('host idle cores', int_cores_idle, int_cores - COALESCE(held.cores, 0)),
        ('host idle memory', int_mem_idle, int_mem - COALESCE(held.memory, 0)),
        ('host idle gpus', int_gpus_idle, int_gpus - COALESCE(held.gpus, 0)),
        ('host idle gpu memory', int_gpu_mem_idle, int_gpu_mem - COALESCE(held.gpu_memory, 0))
    ) AS dimension (what, found, expected)
)
SELECT what, id, name, found, expected::bigint AS expected FROM facts WHERE found <> expected
UNION ALL
SELECT what || ', negative', id, name, found, 0 FROM facts WHERE found < 0
ORDER BY 1, 3
