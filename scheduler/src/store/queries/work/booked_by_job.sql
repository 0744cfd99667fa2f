-- What jobs really hold, for those whose counter refuses waiting work. Local procs are not the job's. $1 job ids.
SELECT p.pk_job AS key, least(sum(p.int_cores_reserved), 9223372036854775807)::int8 AS cores,
       sum(p.int_gpus_reserved)::int8 AS gpus
FROM proc p
WHERE p.pk_job = ANY($1) AND NOT p.b_local
GROUP BY p.pk_job
