-- Triggers add folder_level and folder_resource, the latter without caps.
INSERT INTO folder (pk_folder, pk_parent_folder, pk_show, pk_dept, str_name) VALUES ($1, $2, $3, $4, $5)
