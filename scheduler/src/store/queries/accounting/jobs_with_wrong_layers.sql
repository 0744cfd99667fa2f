-- Jobs some of whose layers don't count what their procs hold. Asked under the lock of the jobs' own rows, in a statement after their
-- sum. $1 job ids.
SELECT DISTINCT lr.pk_job
FROM layer_resource lr
LEFT JOIN (SELECT pk_layer, sum(int_cores_reserved) AS cores, sum(int_gpus_reserved) AS gpus
           FROM proc WHERE pk_job = ANY($1) GROUP BY pk_layer) held ON held.pk_layer = lr.pk_layer
WHERE lr.pk_job = ANY($1) AND (lr.int_cores <> coalesce(held.cores, 0) OR lr.int_gpus <> coalesce(held.gpus, 0))
