-- Triggers of host and proc. None of proc keeps counters on INSERT or DELETE: whoever inserts and deletes does.

CREATE FUNCTION trigger__verify_host_resources() RETURNS trigger AS $$
BEGIN
    IF NEW.int_cores_idle < 0 THEN
        RAISE EXCEPTION 'unable to allocate additional core units';
    END IF;
    IF NEW.int_mem_idle < 0 THEN
        RAISE EXCEPTION 'unable to allocate additional memory';
    END IF;
    IF NEW.int_gpus_idle < 0 THEN
        RAISE EXCEPTION 'unable to allocate additional GPU units';
    END IF;
    IF NEW.int_gpu_mem_idle < 0 THEN
        RAISE EXCEPTION 'unable to allocate additional GPU memory';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER verify_host_resources BEFORE UPDATE ON host
FOR EACH ROW WHEN (NEW.int_cores_idle <> OLD.int_cores_idle OR NEW.int_mem_idle <> OLD.int_mem_idle
                   OR NEW.int_gpus_idle <> OLD.int_gpus_idle OR NEW.int_gpu_mem_idle <> OLD.int_gpu_mem_idle)
EXECUTE FUNCTION trigger__verify_host_resources();

CREATE FUNCTION trigger__before_delete_host() RETURNS trigger AS $$
BEGIN
    DELETE FROM host_stat WHERE pk_host = OLD.pk_host;
    DELETE FROM host_tag WHERE pk_host = OLD.pk_host;
    DELETE FROM deed WHERE pk_host = OLD.pk_host;
    RETURN OLD;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_delete_host BEFORE DELETE ON host FOR EACH ROW EXECUTE FUNCTION trigger__before_delete_host();

CREATE FUNCTION trigger__before_insert_proc() RETURNS trigger AS $$
BEGIN
    IF NEW.int_cores_reserved <= 0 THEN
        RAISE EXCEPTION 'failed to allocate proc, tried to allocate 0 cores';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_insert_proc BEFORE INSERT ON proc FOR EACH ROW EXECUTE FUNCTION trigger__before_insert_proc();

-- A proc that is given to another layer; the rows are taken in descending order of their ids.
CREATE FUNCTION trigger__update_proc_update_layer() RETURNS trigger AS $$
DECLARE
    taken record;
BEGIN
    FOR taken IN
        SELECT pk_layer FROM layer_resource WHERE pk_layer IN (OLD.pk_layer, NEW.pk_layer) ORDER BY pk_layer DESC
    LOOP
        IF taken.pk_layer = OLD.pk_layer THEN
            UPDATE layer_resource
            SET int_cores = int_cores - OLD.int_cores_reserved, int_gpus = int_gpus - OLD.int_gpus_reserved
            WHERE pk_layer = OLD.pk_layer;
        ELSE
            UPDATE layer_resource
            SET int_cores = int_cores + NEW.int_cores_reserved, int_gpus = int_gpus + NEW.int_gpus_reserved
            WHERE pk_layer = NEW.pk_layer;
        END IF;
    END LOOP;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_proc_update_layer AFTER UPDATE ON proc
FOR EACH ROW WHEN (NEW.pk_layer <> OLD.pk_layer) EXECUTE FUNCTION trigger__update_proc_update_layer();

CREATE FUNCTION trigger__upgrade_proc_memory_usage() RETURNS trigger AS $$
BEGIN
    UPDATE host SET int_mem_idle = int_mem_idle - (NEW.int_mem_reserved - OLD.int_mem_reserved) WHERE pk_host = NEW.pk_host;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER upgrade_proc_memory_usage AFTER UPDATE ON proc
FOR EACH ROW WHEN (NEW.int_mem_reserved <> OLD.int_mem_reserved) EXECUTE FUNCTION trigger__upgrade_proc_memory_usage();
