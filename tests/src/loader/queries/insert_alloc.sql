INSERT INTO alloc (pk_alloc, str_name, str_tag, pk_facility, b_default) VALUES ($1, $2, $3, $4, $5)
