-- Locks rows of layer_resource, sorted as bookings and releases sort them, and answers their counters under the lock. $1 keys.
SELECT pk_layer AS key, int_cores::int8 AS cores, int_gpus::int8 AS gpus FROM layer_resource WHERE pk_layer = ANY($1) ORDER BY pk_layer FOR NO KEY UPDATE
