-- Names that a mistyped one may have been meant for: of the jobs that are not finished, the newest first. Called once by a
-- command that a person waits for.
SELECT str_name FROM job WHERE str_state <> 'FINISHED' ORDER BY ts_started DESC, pk_job LIMIT 20000
