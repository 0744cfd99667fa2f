-- The caps that count are those of folder_resource, whatever the folder's own columns say.
UPDATE folder_resource SET int_max_cores = $2, int_max_gpus = $3 WHERE pk_folder = $1
