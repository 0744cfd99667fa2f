-- Undo, procs: deletes our own procs that still hold our frames, and answers what they hold now: memory may have grown.
-- A proc that is gone gives nothing back. $1 proc ids, $2 frame ids.
WITH locked AS MATERIALIZED (
    SELECT p.pk_proc
    FROM unnest($1::text[], $2::text[]) AS u(pk_proc, pk_frame)
    JOIN proc p ON p.pk_proc = u.pk_proc AND p.pk_frame = u.pk_frame
    ORDER BY p.pk_proc
    FOR UPDATE OF p
)
DELETE FROM proc p USING locked
WHERE p.pk_proc = locked.pk_proc
RETURNING p.pk_proc, p.pk_frame, p.pk_host, p.pk_show, p.pk_layer, p.pk_job, p.int_cores_reserved, p.int_mem_reserved,
          p.int_gpus_reserved, p.int_gpu_mem_reserved
