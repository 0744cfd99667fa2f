-- Ends the session that still holds our place after its connection was lost, which the server may not have noticed yet.
-- $1 class, $2 key.
SELECT pg_terminate_backend(l.pid)
FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::int8 = $1 AND l.objid::int8 = $2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.pid <> pg_backend_pid()
