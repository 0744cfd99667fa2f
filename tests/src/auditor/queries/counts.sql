-- The counts of layers and jobs against their frames as they stand. Jobs in STARTUP have no counts yet.
WITH counted AS (
    SELECT pk_layer, pk_job,
           count(*) FILTER (WHERE str_state = 'WAITING') AS waiting,
           count(*) FILTER (WHERE str_state = 'RUNNING') AS running,
           count(*) FILTER (WHERE str_state = 'DEAD') AS dead,
           count(*) FILTER (WHERE str_state = 'DEPEND') AS depend,
           count(*) FILTER (WHERE str_state = 'EATEN') AS eaten,
           count(*) FILTER (WHERE str_state = 'SUCCEEDED') AS succeeded,
           count(*) FILTER (WHERE str_state = 'CHECKPOINT') AS checkpoint,
           count(*) AS total
    FROM frame
    GROUP BY pk_layer, pk_job
), facts AS (
    SELECT state.what, s.pk_layer AS id, job.str_name || '/' || layer.str_name AS name, state.found, state.expected
    FROM layer_stat s
    JOIN layer ON layer.pk_layer = s.pk_layer
    JOIN job ON job.pk_job = layer.pk_job AND job.str_state <> 'STARTUP'
    LEFT JOIN counted c ON c.pk_layer = s.pk_layer
    CROSS JOIN LATERAL (VALUES
        ('layer_stat waiting', s.int_waiting_count, c.waiting),
        ('layer_stat running', s.int_running_count, c.running),
        ('layer_stat dead', s.int_dead_count, c.dead),
        ('layer_stat depend', s.int_depend_count, c.depend),
        ('layer_stat eaten', s.int_eaten_count, c.eaten),
        ('layer_stat succeeded', s.int_succeeded_count, c.succeeded),
        ('layer_stat checkpoint', s.int_checkpoint_count, c.checkpoint),
        ('layer_stat total', s.int_total_count, c.total)
    ) AS state (what, found, expected)
    UNION ALL
    SELECT state.what, s.pk_job, job.str_name, state.found, state.expected
    FROM job_stat s
    JOIN job ON job.pk_job = s.pk_job AND job.str_state <> 'STARTUP'
    LEFT JOIN (SELECT pk_job, sum(waiting) AS waiting, sum(running) AS running, sum(dead) AS dead,
                      sum(depend) AS depend, sum(eaten) AS eaten, sum(succeeded) AS succeeded,
                      sum(checkpoint) AS checkpoint
               FROM counted GROUP BY pk_job) c ON c.pk_job = s.pk_job
    CROSS JOIN LATERAL (VALUES
        ('job_stat waiting', s.int_waiting_count, c.waiting),
        ('job_stat running', s.int_running_count, c.running),
        ('job_stat dead', s.int_dead_count, c.dead),
        ('job_stat depend', s.int_depend_count, c.depend),
        ('job_stat eaten', s.int_eaten_count, c.eaten),
        ('job_stat succeeded', s.int_succeeded_count, c.succeeded),
        ('job_stat checkpoint', s.int_checkpoint_count, c.checkpoint)
    ) AS state (what, found, expected)
)
SELECT what, id, name, found, COALESCE(expected, 0)::bigint AS expected
FROM facts
WHERE found <> COALESCE(expected, 0)
ORDER BY 1, 3
