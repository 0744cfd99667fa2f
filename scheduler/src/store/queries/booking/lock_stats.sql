-- Step 3, layer_stat then job_stat, each sorted: the triggers that count frames then find their rows already locked.
-- The gate in the second part makes PostgreSQL run the first one to its end before it.
-- $1 layer ids, $2 job ids.
WITH layers AS MATERIALIZED (
    SELECT ls.pk_layer FROM layer_stat ls WHERE ls.pk_layer = ANY($1) ORDER BY ls.pk_layer FOR NO KEY UPDATE
), jobs AS MATERIALIZED (
    SELECT js.pk_job FROM job_stat js
    WHERE js.pk_job = ANY($2) AND (SELECT count(*) FROM layers) >= 0
    ORDER BY js.pk_job FOR NO KEY UPDATE
)
SELECT count(*) FROM jobs
