-- Stopping a frame, step 3: the same of the job.
UPDATE job_mem SET int_max_rss = $2 WHERE pk_job = $1 AND int_max_rss < $2
