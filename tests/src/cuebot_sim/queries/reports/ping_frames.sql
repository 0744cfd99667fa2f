-- The frames of a report, in the order of their ids. The version stays: it guards the state, not these figures.
WITH reported AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS t (frame, rss, max_rss, llu)
), locked AS (
    SELECT frame.pk_frame, reported.rss, reported.max_rss, reported.llu
    FROM frame
    JOIN reported ON reported.frame = frame.pk_frame
    WHERE frame.str_state = 'RUNNING'
    ORDER BY frame.pk_frame
    FOR NO KEY UPDATE OF frame
)
UPDATE frame
SET ts_updated = now(), int_mem_used = locked.rss, int_mem_max_used = GREATEST(int_mem_max_used, locked.max_rss),
    ts_llu = CASE WHEN locked.llu > 0 THEN to_timestamp(locked.llu) ELSE ts_llu END
FROM locked
WHERE frame.pk_frame = locked.pk_frame
