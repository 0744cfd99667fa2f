-- The sessions of schedulers, by the name that they give themselves.
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'cue-scheduler/%'
