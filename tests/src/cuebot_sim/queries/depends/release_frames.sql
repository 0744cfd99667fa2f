-- One thing less to wait for, for each dependency that ended: a frame, all frames of a layer, all frames of a job. The trigger
-- makes frames that wait for nothing more WAITING and counts them, layer by layer and job by job: the one place where
-- Cuebot locks a layer_stat row after a job_stat row.
UPDATE frame
SET int_depend_count = GREATEST(int_depend_count - ended.times, 0)
FROM (SELECT pk_frame, count(*) AS times
      FROM (SELECT frame.pk_frame FROM unnest($1::text[]) AS t (id) JOIN frame ON frame.pk_frame = t.id
            UNION ALL
            SELECT frame.pk_frame FROM unnest($2::text[]) AS t (id) JOIN frame ON frame.pk_layer = t.id
            UNION ALL
            SELECT frame.pk_frame FROM unnest($3::text[]) AS t (id) JOIN frame ON frame.pk_job = t.id) AS each
      GROUP BY pk_frame) AS ended
WHERE frame.pk_frame = ended.pk_frame AND frame.int_depend_count > 0
