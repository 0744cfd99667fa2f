INSERT INTO depend (pk_depend, pk_parent, str_type, str_target, pk_job_depend_on, pk_job_depend_er,
                    pk_layer_depend_on, pk_layer_depend_er, pk_frame_depend_on, pk_frame_depend_er,
                    str_signature, b_composite)
SELECT id, parent, kind, CASE WHEN job_on = job_er THEN 'INTERNAL' ELSE 'EXTERNAL' END, job_on, job_er,
       layer_on, layer_er, frame_on, frame_er, id, kind = 'FRAME_BY_FRAME'
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[])
     AS t (id, parent, kind, job_on, job_er, layer_on, layer_er, frame_on, frame_er)
