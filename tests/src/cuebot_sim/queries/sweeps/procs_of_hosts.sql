SELECT pk_proc FROM proc WHERE pk_host = ANY ($1::text[]) ORDER BY ts_ping
