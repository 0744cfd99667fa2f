-- Tries locks, without waiting; answers those that are ours now. They last as long as the session, or until they are given. A
-- lock that the session holds already must not be among them: it would have to be given twice. $1 classes, $2 keys.
SELECT k.class, k.key
FROM unnest($1::int[], $2::int[]) AS k(class, key)
WHERE pg_try_advisory_lock(k.class, k.key)
