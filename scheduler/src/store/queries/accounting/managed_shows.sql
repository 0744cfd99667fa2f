-- The shows whose counters are ours to set right. Called once a reconcile.
SELECT pk_show FROM show WHERE b_scheduler_managed
