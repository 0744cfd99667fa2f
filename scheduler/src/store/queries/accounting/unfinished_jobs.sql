-- The jobs of shows that have not ended. Called once a reconcile. $1 show ids.
SELECT pk_job FROM job WHERE pk_show = ANY($1) AND str_state <> 'FINISHED'
