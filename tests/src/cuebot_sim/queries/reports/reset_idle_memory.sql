-- What Cuebot does now and then with a report: idle memory is the total less what procs hold. In one statement, as it does it:
-- exact only because booking and release change proc and host in one commit, and wrong by one booking if that commits in
-- between.
UPDATE host
SET int_mem_idle = int_mem - held.memory, int_gpu_mem_idle = int_gpu_mem - held.gpu_memory
FROM (SELECT COALESCE(sum(int_mem_reserved), 0)::bigint AS memory,
             COALESCE(sum(int_gpu_mem_reserved), 0)::bigint AS gpu_memory
      FROM proc WHERE pk_host = $1) AS held
WHERE pk_host = $1
  AND (int_mem_idle, int_gpu_mem_idle) IS DISTINCT FROM (int_mem - held.memory, int_gpu_mem - held.gpu_memory)
