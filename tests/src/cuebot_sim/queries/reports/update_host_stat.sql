-- The figures of a report. A host that was DOWN is up again; one that is to reboot stays so until it boots ($14); one under
-- repair by a person's hand stays so. A temp directory with less than 5 % free puts it under repair, and a report with more
-- takes it out again.
UPDATE host_stat
SET int_mem_total = $2, int_mem_free = $3, int_swap_total = $4, int_swap_free = $5, int_mcp_total = $6, int_mcp_free = $7,
    int_gpu_mem_total = $8, int_gpu_mem_free = $9, int_load = $10, ts_booted = to_timestamp($11), ts_ping = now(),
    str_os = CASE WHEN $12 = '' THEN str_os ELSE $12 END,
    str_state = CASE
        WHEN str_state = 'REPAIR' AND int_mcp_total > 0 AND int_mcp_free * 20 < int_mcp_total AND $7 * 20 >= $6 THEN 'UP'
        WHEN str_state = 'REPAIR' THEN 'REPAIR'
        WHEN $6 > 0 AND $7 * 20 < $6 THEN 'REPAIR'
        WHEN str_state IN ('REBOOTING', 'REBOOT_WHEN_IDLE') AND NOT $14 THEN str_state
        WHEN str_state IN ('REBOOTING', 'REBOOT_WHEN_IDLE', 'DOWN') THEN 'UP'
        ELSE $13
    END
WHERE pk_host = $1
