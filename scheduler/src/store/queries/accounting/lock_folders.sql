-- Locks rows of folder_resource, sorted as bookings and releases sort them, and answers their counters under the lock. $1 keys.
SELECT pk_folder AS key, int_cores::int8 AS cores, int_gpus::int8 AS gpus FROM folder_resource WHERE pk_folder = ANY($1) ORDER BY pk_folder FOR NO KEY UPDATE
