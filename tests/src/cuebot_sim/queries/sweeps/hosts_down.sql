-- Hosts that have not reported for too long.
UPDATE host_stat
SET str_state = 'DOWN'
WHERE str_state = 'UP' AND ts_ping < now() - make_interval(secs => $1)
RETURNING pk_host
