-- Show, folder, id, whether it is a root, department.
SELECT show.str_name, folder.str_name, folder.pk_folder, folder.pk_parent_folder IS NULL, folder.pk_dept
FROM folder
JOIN show ON show.pk_show = folder.pk_show
