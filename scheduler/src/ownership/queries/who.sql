-- Which session this is: its process on the server and the role that it was opened with. Asked over two connections at once, so
-- that a pooler that gives both the same session shows.
SELECT pg_backend_pid() AS pid, (SELECT oid::int8 FROM pg_roles WHERE rolname = session_user) AS role
