-- The hosts of an allocation with one of these tags that may not be booked, by cause: `locked`, the hardware state where it
-- is not UP, `lent` for those with a local assignment, or `silent` for those not heard of within $3 seconds. Called once a layer by a command that a person waits
-- for. $1 allocation id, $2 tags.
SELECT CASE WHEN hs.str_state <> 'UP' THEN lower(hs.str_state)
            WHEN h.str_lock_state <> 'OPEN' THEN 'locked'
            WHEN EXISTS (SELECT FROM host_local hl WHERE hl.pk_host = h.pk_host) THEN 'lent'
            ELSE 'silent'
       END AS cause,
       count(*) AS hosts
FROM host h
JOIN host_stat hs ON hs.pk_host = h.pk_host
WHERE h.pk_alloc = $1
  AND (h.str_lock_state <> 'OPEN' OR hs.str_state <> 'UP' OR hs.ts_ping <= now() - make_interval(secs => $3)
       OR EXISTS (SELECT FROM host_local hl WHERE hl.pk_host = h.pk_host))
  AND EXISTS (SELECT FROM host_tag t WHERE t.pk_host = h.pk_host AND t.str_tag = ANY($2))
GROUP BY cause
ORDER BY cause
