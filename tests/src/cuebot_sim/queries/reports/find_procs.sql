-- What the procs of a report hold in truth.
SELECT proc.pk_proc, proc.pk_frame, proc.int_mem_reserved FROM proc WHERE proc.pk_proc = ANY ($1::text[])
