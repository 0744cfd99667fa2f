-- Triggers that hold caps, silent where the cap changes in the same statement, and those that keep tiers.

CREATE FUNCTION trigger__verify_job_resources() RETURNS trigger AS $$
BEGIN
    IF NEW.int_cores > NEW.int_max_cores THEN
        RAISE EXCEPTION 'job has exceeded max cores';
    END IF;
    IF NEW.int_gpus > NEW.int_max_gpus THEN
        RAISE EXCEPTION 'job has exceeded max GPU units';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER verify_job_resources BEFORE UPDATE ON job_resource
FOR EACH ROW WHEN ((NEW.int_max_cores = OLD.int_max_cores AND NEW.int_cores > OLD.int_cores)
                   OR (NEW.int_max_gpus = OLD.int_max_gpus AND NEW.int_gpus > OLD.int_gpus))
EXECUTE FUNCTION trigger__verify_job_resources();

CREATE FUNCTION trigger__verify_subscription() RETURNS trigger AS $$
BEGIN
    IF NEW.int_cores > NEW.int_burst THEN
        RAISE EXCEPTION 'subscription has exceeded burst size';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER verify_subscription BEFORE UPDATE ON subscription
FOR EACH ROW WHEN (NEW.int_burst = OLD.int_burst AND NEW.int_cores > OLD.int_cores)
EXECUTE FUNCTION trigger__verify_subscription();

CREATE FUNCTION trigger__tier_job() RETURNS trigger AS $$
BEGIN
    NEW.float_tier := tier(NEW.int_cores, NEW.int_min_cores);
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tier_job BEFORE UPDATE ON job_resource FOR EACH ROW EXECUTE FUNCTION trigger__tier_job();

CREATE FUNCTION trigger__tier_subscription() RETURNS trigger AS $$
BEGIN
    NEW.float_tier := tier(NEW.int_cores, NEW.int_size);
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tier_subscription BEFORE UPDATE ON subscription FOR EACH ROW EXECUTE FUNCTION trigger__tier_subscription();

CREATE FUNCTION trigger__soft_tier() RETURNS trigger AS $$
BEGIN
    NEW.float_tier := soft_tier(NEW.int_cores, NEW.int_min_cores);
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tier_folder BEFORE UPDATE ON folder_resource FOR EACH ROW EXECUTE FUNCTION trigger__soft_tier();
CREATE TRIGGER point_tier BEFORE UPDATE ON point FOR EACH ROW EXECUTE FUNCTION trigger__soft_tier();
