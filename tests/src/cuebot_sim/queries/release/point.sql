-- Release, step 7: the department and show that the job has now.
UPDATE point SET int_cores = int_cores - $2, int_gpus = int_gpus - $3
FROM job
WHERE job.pk_job = $1 AND point.pk_dept = job.pk_dept AND point.pk_show = job.pk_show
