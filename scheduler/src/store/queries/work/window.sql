-- The next waiting frames of layers, in dispatch order: a hint of what may be claimed. Per layer it uses the frames of the
-- layer (i_frame_pkjoblayer), the dispatch order (i_frame_dispatch_idx), or a later schema's index of waiting frames.
-- Called for the layers that a plan places and whose remembered window is short. Seconds since the last change are taken as
-- numbers, since times at infinity can't be subtracted. $1 layer ids, $2 how many of each.
SELECT w.pk_layer, f.pk_frame, f.str_name, f.int_version, f.waited
FROM unnest($1::text[], $2::int[]) AS w(pk_layer, wanted)
CROSS JOIN LATERAL (
    SELECT f.pk_frame, f.str_name, f.int_version, f.int_dispatch_order, f.int_layer_order,
           (extract(epoch FROM now()) - extract(epoch FROM f.ts_updated))::float8 AS waited
    FROM frame f
    WHERE f.pk_layer = w.pk_layer AND f.str_state = 'WAITING'
    ORDER BY f.int_dispatch_order, f.int_layer_order, f.pk_frame
    LIMIT w.wanted
) f
ORDER BY w.pk_layer, f.int_dispatch_order, f.int_layer_order, f.pk_frame
