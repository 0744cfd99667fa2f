INSERT INTO show (pk_show, str_name, b_scheduler_managed, b_active) VALUES ($1, $2, $3, $4)
