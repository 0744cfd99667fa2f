INSERT INTO limit_record (pk_limit_record, str_name, int_max_value) VALUES ($1, $2, $3)
