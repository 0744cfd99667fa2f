-- Ends one session of our role. $1 its process on the server.
SELECT pg_terminate_backend(a.pid)
FROM pg_stat_activity a
WHERE a.pid = $1 AND a.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)
