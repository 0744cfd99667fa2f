INSERT INTO host_stat (pk_host_stat, pk_host, str_os) VALUES ($1, $1, $2)
