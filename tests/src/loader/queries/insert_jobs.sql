-- Triggers add job_stat, job_resource, job_usage, job_mem and job_history.
INSERT INTO job (pk_job, pk_folder, pk_show, pk_facility, pk_dept, str_name, str_visible_name, str_shot, str_user,
                 str_state, str_log_dir, int_uid, b_paused, b_autoeat, int_max_retries, str_show, str_os,
                 str_loki_url, int_layer_count)
SELECT id, folder, show, facility, dept, name, name, shot, owner, 'STARTUP', log_dir, uid, paused, auto_eat,
       max_retries, show_name, os, loki_url, layers
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::bigint[], $11::bool[], $12::bool[], $13::smallint[], $14::text[], $15::text[],
            $16::text[], $17::int[])
     AS t (id, folder, show, facility, dept, name, shot, owner, log_dir, uid, paused, auto_eat, max_retries,
           show_name, os, loki_url, layers)
