-- From the layers, which were just counted.
UPDATE job_stat
SET int_waiting_count = counted.waiting, int_depend_count = counted.depend
FROM (SELECT pk_job, sum(int_waiting_count)::bigint AS waiting, sum(int_depend_count)::bigint AS depend
      FROM layer_stat
      WHERE pk_job = ANY ($1::text[])
      GROUP BY pk_job) AS counted
WHERE job_stat.pk_job = counted.pk_job
