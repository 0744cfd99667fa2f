-- What folders really hold, by the folder each job is in now. Local procs are not the folder's. $1 folder ids.
SELECT j.pk_folder AS key, least(sum(p.int_cores_reserved), 9223372036854775807)::int8 AS cores,
       sum(p.int_gpus_reserved)::int8 AS gpus
FROM job j
JOIN proc p ON p.pk_job = j.pk_job
WHERE j.pk_folder = ANY($1) AND NOT p.b_local
GROUP BY j.pk_folder
