-- Whether booking makes sense at all: whether shows can be managed (schema from 45 on), whether layers can be delayed (from 47
-- on), and whether a session holds the key of a Maestro leader, who books managed shows itself. Reads catalogs and the list of
-- locks only. Called every two seconds.
SELECT EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = to_regclass('show') AND attname = 'b_scheduler_managed' AND NOT attisdropped) AS managed_flag,
       EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = to_regclass('layer') AND attname = 'ts_start_after' AND NOT attisdropped) AS start_after,
       EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = 5206117 AND objid = 1849914725
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS maestro_leads
