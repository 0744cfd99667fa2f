-- Locks rows of job_resource, sorted as bookings and releases sort them, and answers their counters under the lock. $1 keys.
SELECT pk_job AS key, int_cores::int8 AS cores, int_gpus::int8 AS gpus FROM job_resource WHERE pk_job = ANY($1) ORDER BY pk_job FOR NO KEY UPDATE
