-- Frames at rest that are in no state in which a frame may be left: neither done nor waiting, or waiting for nothing. $1 job ids,
-- $2 whether frames may run, since no agent ends them.
WITH judged AS (
    SELECT frame.pk_layer,
           CASE
               WHEN frame.str_state NOT IN ('SUCCEEDED', 'EATEN', 'DEAD', 'WAITING', 'DEPEND')
                    AND NOT (frame.str_state = 'RUNNING' AND $2)
                   THEN 'left in ' || frame.str_state
               WHEN frame.str_state = 'WAITING' AND frame.int_depend_count > 0 THEN 'waiting for hosts and for frames'
               WHEN frame.str_state = 'DEPEND' AND NOT EXISTS (
                   SELECT FROM depend
                   WHERE depend.b_active AND (
                       depend.pk_frame_depend_er = frame.pk_frame
                       OR depend.pk_frame_depend_er IS NULL AND depend.pk_layer_depend_er = frame.pk_layer
                       OR depend.pk_frame_depend_er IS NULL AND depend.pk_layer_depend_er IS NULL
                           AND depend.pk_job_depend_er = frame.pk_job))
                   THEN 'waiting for what has ended'
           END AS what
    FROM frame
    WHERE frame.pk_job = ANY ($1)
)
SELECT job.str_name || '/' || layer.str_name AS layer, judged.what, count(*) AS frames
FROM judged
JOIN layer ON layer.pk_layer = judged.pk_layer
JOIN job ON job.pk_job = layer.pk_job
WHERE judged.what IS NOT NULL
GROUP BY 1, 2
ORDER BY 1, 2
