-- Procs whose host has stopped reporting them, oldest first, a hundred at a time; whether it's long enough to give up asking.
SELECT pk_proc, ts_ping < now() - make_interval(secs => $2) AS given_up
FROM proc
WHERE ts_ping < now() - make_interval(secs => $1)
ORDER BY ts_ping
LIMIT 100
