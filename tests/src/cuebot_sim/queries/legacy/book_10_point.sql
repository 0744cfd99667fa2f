-- Cuebot's booking, step 10 and last before the commit.
UPDATE point SET int_cores = int_cores + $2, int_gpus = int_gpus + $3
FROM job
WHERE job.pk_job = $1 AND point.pk_dept = job.pk_dept AND point.pk_show = job.pk_show
