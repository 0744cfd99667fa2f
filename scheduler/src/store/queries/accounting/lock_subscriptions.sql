-- Locks rows of subscription, sorted as bookings and releases sort them, and answers their counters under the lock. $1 keys.
SELECT pk_subscription AS key, int_cores::int8 AS cores, int_gpus::int8 AS gpus FROM subscription WHERE pk_subscription = ANY($1) ORDER BY pk_subscription FOR NO KEY UPDATE
