-- Taken before a look at the host's procs, so that no booking comes between the look and the write.
SELECT pk_host FROM host WHERE pk_host = $1 FOR UPDATE
