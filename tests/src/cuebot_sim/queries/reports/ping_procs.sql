-- The procs of a report live. Locked in the order of their ids, so that two reports can't wait for each other.
WITH reported AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS t (proc, frame, rss, max_rss)
), locked AS (
    SELECT proc.pk_proc, reported.rss, reported.max_rss
    FROM proc
    JOIN reported ON reported.proc = proc.pk_proc AND reported.frame = proc.pk_frame
    ORDER BY proc.pk_proc
    FOR NO KEY UPDATE OF proc
)
UPDATE proc
SET ts_ping = now(), int_mem_used = locked.rss, int_mem_max_used = GREATEST(int_mem_max_used, locked.max_rss)
FROM locked
WHERE proc.pk_proc = locked.pk_proc
