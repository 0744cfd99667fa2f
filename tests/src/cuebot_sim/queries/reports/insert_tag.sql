INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type, b_constant) VALUES ($1, $2, $3, $4, $5)
