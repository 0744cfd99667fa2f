-- Undo, hosts and counters: gives back what the deleted procs held, each dimension of a host no further than its total.
-- All rows were locked in order by booking/lock_resources.
-- $1 host ids, $2 cores, $3 memory, $4 GPUs, $5 GPU memory; $6 show id, $7 allocation ids, $8 cores, $9 GPUs; $10 layer
-- ids, $11 cores, $12 GPUs; $13 job ids, $14 cores, $15 GPUs; $16 folder ids, $17 cores, $18 GPUs; $19 department ids,
-- $20 cores, $21 GPUs.
WITH hosts AS (
    UPDATE host h
    SET int_cores_idle = least(h.int_cores, h.int_cores_idle + w.cores),
        int_mem_idle = least(h.int_mem, h.int_mem_idle + w.mem),
        int_gpus_idle = least(h.int_gpus, h.int_gpus_idle + w.gpus),
        int_gpu_mem_idle = least(h.int_gpu_mem, h.int_gpu_mem_idle + w.gpu_mem)
    FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int8[]) AS w(pk_host, cores, mem, gpus, gpu_mem)
    WHERE h.pk_host = w.pk_host
), subscriptions AS (
    UPDATE subscription s SET int_cores = s.int_cores - w.cores, int_gpus = s.int_gpus - w.gpus
    FROM unnest($7::text[], $8::int[], $9::int[]) AS w(pk_alloc, cores, gpus)
    WHERE s.pk_show = $6 AND s.pk_alloc = w.pk_alloc
), layers AS (
    UPDATE layer_resource lr SET int_cores = lr.int_cores - w.cores, int_gpus = lr.int_gpus - w.gpus
    FROM unnest($10::text[], $11::int8[], $12::int[]) AS w(pk_layer, cores, gpus)
    WHERE lr.pk_layer = w.pk_layer
), jobs AS (
    UPDATE job_resource jr SET int_cores = jr.int_cores - w.cores, int_gpus = jr.int_gpus - w.gpus
    FROM unnest($13::text[], $14::int8[], $15::int[]) AS w(pk_job, cores, gpus)
    WHERE jr.pk_job = w.pk_job
), folders AS (
    UPDATE folder_resource fr SET int_cores = fr.int_cores - w.cores, int_gpus = fr.int_gpus - w.gpus
    FROM unnest($16::text[], $17::int[], $18::int[]) AS w(pk_folder, cores, gpus)
    WHERE fr.pk_folder = w.pk_folder
), points AS (
    UPDATE point p SET int_cores = p.int_cores - w.cores, int_gpus = p.int_gpus - w.gpus
    FROM unnest($19::text[], $20::int[], $21::int[]) AS w(pk_dept, cores, gpus)
    WHERE p.pk_show = $6 AND p.pk_dept = w.pk_dept
)
SELECT 1
