-- Locks rows of point, sorted as bookings and releases sort them, and answers their counters under the lock. $1 keys.
SELECT pk_point AS key, int_cores::int8 AS cores, int_gpus::int8 AS gpus FROM point WHERE pk_point = ANY($1) ORDER BY pk_point FOR NO KEY UPDATE
