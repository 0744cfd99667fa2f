-- The lock follows the user of the machine; a person's own lock stays.
UPDATE host
SET str_lock_state = CASE WHEN $2 THEN 'NIMBY_LOCKED' ELSE 'OPEN' END
WHERE pk_host = $1 AND str_lock_state = CASE WHEN $2 THEN 'OPEN' ELSE 'NIMBY_LOCKED' END
