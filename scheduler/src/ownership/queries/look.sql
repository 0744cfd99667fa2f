-- Who is there and who holds what: every lock of our classes in this database, with the session that holds it. One turn of the
-- ownership loop, once a second; being asked is the sign of life of who asks. Reads catalogs only. The activity of sessions of
-- other roles is not shown to us: their idle time is null. $1 lowest class of ours, $2 highest.
SELECT a.pid, a.application_name AS name, a.usesysid = me.oid AS own_role, a.pid = pg_backend_pid() AS own_session,
       extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS idle, l.classid::int8 AS class, l.objid::int8 AS key
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
CROSS JOIN (SELECT oid FROM pg_roles WHERE rolname = session_user) me
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::int8 BETWEEN $1 AND $2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
