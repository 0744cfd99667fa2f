-- Gives locks back; they are free at once. $1 classes, $2 keys.
SELECT pg_advisory_unlock(k.class, k.key) FROM unnest($1::int[], $2::int[]) AS k(class, key)
