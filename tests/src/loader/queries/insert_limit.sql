INSERT INTO limit_record (pk_limit_record, str_name, int_max_value, b_host_limit) VALUES ($1, $2, $3, $4)
