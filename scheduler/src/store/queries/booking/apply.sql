-- Step 7: takes the hosts' resources and adds to the five counters. Every row is locked by step 6 and every cap was tested
-- there under that lock, so nothing here waits or is refused; the triggers test once more. For subscription, job and
-- folder the new value is given, which is old + n, or the true sum where the counter was found too high.
-- $1 host ids, $2 cores, $3 memory, $4 GPUs, $5 GPU memory; $6 show id, $7 allocation ids, $8 cores, $9 GPUs (new values);
-- $10 layer ids, $11 cores, $12 GPUs (to add); $13 job ids, $14 cores, $15 GPUs (new); $16 folder ids, $17 cores, $18 GPUs
-- (new); $19 department ids, $20 cores, $21 GPUs (to add).
WITH hosts AS (
    UPDATE host h
    SET int_cores_idle = h.int_cores_idle - w.cores, int_mem_idle = h.int_mem_idle - w.mem,
        int_gpus_idle = h.int_gpus_idle - w.gpus, int_gpu_mem_idle = h.int_gpu_mem_idle - w.gpu_mem
    FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int8[]) AS w(pk_host, cores, mem, gpus, gpu_mem)
    WHERE h.pk_host = w.pk_host
), subscriptions AS (
    UPDATE subscription s SET int_cores = w.cores, int_gpus = w.gpus
    FROM unnest($7::text[], $8::int[], $9::int[]) AS w(pk_alloc, cores, gpus)
    WHERE s.pk_show = $6 AND s.pk_alloc = w.pk_alloc
), layers AS (
    UPDATE layer_resource lr SET int_cores = lr.int_cores + w.cores, int_gpus = lr.int_gpus + w.gpus
    FROM unnest($10::text[], $11::int8[], $12::int[]) AS w(pk_layer, cores, gpus)
    WHERE lr.pk_layer = w.pk_layer
), jobs AS (
    UPDATE job_resource jr SET int_cores = w.cores, int_gpus = w.gpus
    FROM unnest($13::text[], $14::int8[], $15::int[]) AS w(pk_job, cores, gpus)
    WHERE jr.pk_job = w.pk_job
), folders AS (
    UPDATE folder_resource fr SET int_cores = w.cores, int_gpus = w.gpus
    FROM unnest($16::text[], $17::int[], $18::int[]) AS w(pk_folder, cores, gpus)
    WHERE fr.pk_folder = w.pk_folder
), points AS (
    UPDATE point p SET int_cores = p.int_cores + w.cores, int_gpus = p.int_gpus + w.gpus
    FROM unnest($19::text[], $20::int[], $21::int[]) AS w(pk_dept, cores, gpus)
    WHERE p.pk_show = $6 AND p.pk_dept = w.pk_dept
)
SELECT 1
