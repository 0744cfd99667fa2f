UPDATE job_resource SET int_max_cores = int_max_cores - 1
