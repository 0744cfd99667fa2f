-- Ends all sessions of a member that hangs: its locks are free, its transactions are rolled back, and nothing that it sends when
-- it wakes arrives. Sessions of other roles can't be ended and are left out. $1 the member's name. Answers one row a session.
SELECT pg_terminate_backend(a.pid)
FROM pg_stat_activity a
WHERE a.application_name = $1 AND a.datname = current_database()
  AND a.usesysid = (SELECT oid FROM pg_roles WHERE rolname = session_user)
