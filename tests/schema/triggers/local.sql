-- Triggers of local bookings: what an artist sets aside on the own machine for a job.

CREATE FUNCTION trigger__verify_host_local() RETURNS trigger AS $$
BEGIN
    IF NEW.int_cores_idle < 0 THEN
        RAISE EXCEPTION 'host local doesnt have enough idle cores';
    END IF;
    IF NEW.int_mem_idle < 0 THEN
        RAISE EXCEPTION 'host local doesnt have enough idle memory';
    END IF;
    IF NEW.int_gpus_idle < 0 THEN
        RAISE EXCEPTION 'host local doesnt have enough idle GPU units';
    END IF;
    IF NEW.int_gpu_mem_idle < 0 THEN
        RAISE EXCEPTION 'host local doesnt have enough idle GPU memory';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER verify_host_local BEFORE UPDATE ON host_local
FOR EACH ROW WHEN (NEW.int_cores_idle <> OLD.int_cores_idle OR NEW.int_mem_idle <> OLD.int_mem_idle
                   OR NEW.int_gpus_idle <> OLD.int_gpus_idle OR NEW.int_gpu_mem_idle <> OLD.int_gpu_mem_idle)
EXECUTE FUNCTION trigger__verify_host_local();

-- How far the set-aside cores are used.
CREATE FUNCTION trigger__tier_host_local() RETURNS trigger AS $$
BEGIN
    NEW.float_tier := tier(NEW.int_cores_max - NEW.int_cores_idle, NEW.int_cores_max);
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tier_host_local BEFORE UPDATE ON host_local FOR EACH ROW EXECUTE FUNCTION trigger__tier_host_local();

CREATE FUNCTION trigger__verify_job_local() RETURNS trigger AS $$
BEGIN
    IF NEW.int_cores > NEW.int_max_cores THEN
        RAISE EXCEPTION 'job local has exceeded max cores';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER verify_job_local BEFORE UPDATE ON job_local
FOR EACH ROW WHEN (NEW.int_max_cores = OLD.int_max_cores AND NEW.int_cores > OLD.int_cores)
EXECUTE FUNCTION trigger__verify_job_local();
