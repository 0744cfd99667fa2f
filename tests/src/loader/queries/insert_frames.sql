-- No trigger counts frames at their insertion. $8 is the state of frames that wait for nothing, $9 of those that do.
INSERT INTO frame (pk_frame, pk_layer, pk_job, str_name, int_number, int_layer_order, int_dispatch_order,
                   int_depend_count, str_state, ts_updated)
SELECT id, layer, job, name, number, position, position, depends,
       CASE WHEN depends > 0 THEN $9 ELSE $8 END, now()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::int[], $7::bigint[])
     AS t (id, layer, job, name, number, position, depends)
