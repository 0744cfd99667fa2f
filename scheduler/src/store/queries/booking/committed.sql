-- After a commit whose answer was lost: which of the procs exist. $1 proc ids.
SELECT pk_proc FROM proc WHERE pk_proc = ANY($1)
