-- What the procs of a department's jobs in a show hold, by the department that each job has now, in a statement of its own
-- after the rows were locked. Local procs are not the department's. $1 point ids.
SELECT o.pk_point AS key, least(sum(p.int_cores_reserved), 9223372036854775807)::int8 AS cores,
       sum(p.int_gpus_reserved)::int8 AS gpus
FROM point o
JOIN job j ON j.pk_show = o.pk_show AND j.pk_dept = o.pk_dept
JOIN proc p ON p.pk_job = j.pk_job
WHERE o.pk_point = ANY($1) AND NOT p.b_local
GROUP BY o.pk_point
