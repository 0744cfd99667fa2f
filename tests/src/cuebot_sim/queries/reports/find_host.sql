SELECT pk_host FROM host WHERE str_name = $1
