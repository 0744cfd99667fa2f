-- Triggers add layer_stat, layer_resource, layer_usage, layer_mem and layer_history.
INSERT INTO layer (pk_layer, pk_job, str_name, str_cmd, str_range, int_chunk_size, int_dispatch_order,
                   int_cores_min, int_cores_max, int_mem_min, int_gpus_min, int_gpu_mem_min, str_tags, str_type,
                   b_threadable, str_services, int_timeout)
SELECT *
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::int[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[],
            $15::bool[], $16::text[], $17::int[])
