-- A frame that uses more than it reserved takes it from its host: the trigger lowers the host's idle memory, and refuses if
-- there is none. Order of locks: proc, host.
UPDATE proc SET int_mem_reserved = $2 WHERE pk_proc = $1 AND int_mem_reserved < $2
