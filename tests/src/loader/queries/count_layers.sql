-- The counts are set from the frames as they stand, never added to.
UPDATE layer_stat
SET int_waiting_count = counted.waiting, int_depend_count = counted.depend, int_total_count = counted.total
FROM (SELECT pk_layer,
             count(*) FILTER (WHERE str_state = 'WAITING') AS waiting,
             count(*) FILTER (WHERE str_state = 'DEPEND') AS depend,
             count(*) AS total
      FROM frame
      WHERE pk_job = ANY ($1::text[])
      GROUP BY pk_layer) AS counted
WHERE layer_stat.pk_layer = counted.pk_layer
