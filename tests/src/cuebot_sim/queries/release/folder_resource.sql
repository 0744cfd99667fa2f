-- Release, step 6: the folder that the job has now.
UPDATE folder_resource SET int_cores = int_cores - $2, int_gpus = int_gpus - $3
WHERE pk_folder = (SELECT pk_folder FROM job WHERE pk_job = $1)
