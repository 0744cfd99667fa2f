-- Step 2, limits: one booking at a time under each limit, among schedulers. Row locks on limit_record would need a right
-- that a scheduler should not need. Sorted by id, so that two chunks never wait for each other in a circle.
-- $1 class of the lock, $2 limit ids.
SELECT pg_advisory_xact_lock($1, k.key)
FROM (SELECT hashtext(id) AS key FROM unnest($2::text[]) AS ids(id) GROUP BY hashtext(id) ORDER BY hashtext(id)) k
