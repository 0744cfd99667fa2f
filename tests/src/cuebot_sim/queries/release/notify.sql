-- Release of a managed show's proc where the scheduler keeps the counters, step 3 and last: a message in place of them, whole
-- cores, negative, sent with the commit.
SELECT pg_notify('acct_release', json_build_object(
    'show', $1::text, 'alloc', $2::text, 'folder', job.pk_folder, 'job', job.pk_job, 'layer', $4::text,
    'dept', job.pk_dept, 'cores', -($5::bigint / 100), 'gpus', -$6::bigint)::text)
FROM job
WHERE job.pk_job = $3
