-- Triggers of frame. PostgreSQL fires those of one kind in the order of their names, each seeing the row as the one before
-- left it. None counts frames on INSERT: whoever inserts frames sets the counts.

CREATE FUNCTION trigger__set_frame_eligible() RETURNS trigger AS $$
BEGIN
    NEW.ts_eligible := CASE WHEN TG_OP = 'INSERT' THEN coalesce(NEW.ts_eligible, now()) ELSE now() END;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER set_frame_ts_eligible_on_insert BEFORE INSERT ON frame
FOR EACH ROW WHEN (NEW.str_state = 'WAITING') EXECUTE FUNCTION trigger__set_frame_eligible();

CREATE TRIGGER set_frame_ts_eligible_setup_to_wait BEFORE UPDATE ON frame
FOR EACH ROW WHEN (OLD.str_state = 'SETUP' AND NEW.str_state = 'WAITING') EXECUTE FUNCTION trigger__set_frame_eligible();

CREATE FUNCTION trigger__update_frame_checkpoint_state() RETURNS trigger AS $$
BEGIN
    NEW.str_state := 'CHECKPOINT';
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_frame_checkpoint_state BEFORE UPDATE ON frame
FOR EACH ROW WHEN (OLD.str_state = 'RUNNING' AND NEW.str_state = 'WAITING' AND NEW.str_checkpoint_state IN ('ENABLED', 'COPYING'))
EXECUTE FUNCTION trigger__update_frame_checkpoint_state();

CREATE FUNCTION trigger__update_frame_dep_to_wait() RETURNS trigger AS $$
BEGIN
    NEW.str_state := 'WAITING';
    NEW.ts_updated := now();
    NEW.ts_eligible := now();
    NEW.int_version := NEW.int_version + 1;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_frame_dep_to_wait BEFORE UPDATE ON frame
FOR EACH ROW WHEN (OLD.int_depend_count > 0 AND NEW.int_depend_count < 1 AND OLD.str_state = 'DEPEND')
EXECUTE FUNCTION trigger__update_frame_dep_to_wait();

CREATE FUNCTION trigger__update_frame_eaten() RETURNS trigger AS $$
BEGIN
    NEW.str_state := 'SUCCEEDED';
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_frame_eaten BEFORE UPDATE ON frame
FOR EACH ROW WHEN (OLD.str_state = 'SUCCEEDED' AND NEW.str_state = 'EATEN') EXECUTE FUNCTION trigger__update_frame_eaten();

CREATE FUNCTION trigger__update_frame_wait_to_dep() RETURNS trigger AS $$
BEGIN
    NEW.str_state := 'DEPEND';
    NEW.ts_updated := now();
    NEW.int_version := NEW.int_version + 1;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_frame_wait_to_dep BEFORE UPDATE ON frame
FOR EACH ROW WHEN (NEW.int_depend_count > 0 AND NEW.str_state IN ('DEAD', 'SUCCEEDED', 'WAITING', 'CHECKPOINT'))
EXECUTE FUNCTION trigger__update_frame_wait_to_dep();

-- Opens and closes the history row of a run, unless a config row of that key exists.
CREATE FUNCTION trigger__frame_history_open() RETURNS trigger AS $$
BEGIN
    IF EXISTS (SELECT FROM config WHERE str_key = 'DISABLE_HISTORY') THEN
        RETURN NEW;
    END IF;
    IF OLD.str_state = 'RUNNING' THEN
        IF NEW.int_exit_status = 299 THEN
            DELETE FROM frame_history WHERE int_ts_stopped = 0 AND pk_frame = OLD.pk_frame;
        ELSE
            UPDATE frame_history
            SET int_mem_max_used = NEW.int_mem_max_used, int_gpu_mem_max_used = NEW.int_gpu_mem_max_used,
                int_ts_stopped = epoch(now()), int_exit_status = NEW.int_exit_status,
                int_checkpoint_count = CASE WHEN NEW.str_state = 'CHECKPOINT' THEN 1 ELSE 0 END
            WHERE int_ts_stopped = 0 AND pk_frame = OLD.pk_frame;
        END IF;
    END IF;
    IF NEW.str_state = 'RUNNING' THEN
        INSERT INTO frame_history (pk_frame, pk_layer, pk_job, str_name, str_state, int_cores, int_mem_reserved,
                                   int_gpus, int_gpu_mem_reserved, str_host, int_ts_started, pk_alloc)
        VALUES (NEW.pk_frame, NEW.pk_layer, NEW.pk_job, NEW.str_name, 'RUNNING', NEW.int_cores, NEW.int_mem_reserved,
                NEW.int_gpus, NEW.int_gpu_mem_reserved, NEW.str_host, epoch(now()),
                (SELECT pk_alloc FROM host WHERE str_name = NEW.str_host));
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER frame_history_open AFTER UPDATE ON frame
FOR EACH ROW WHEN (OLD.str_state <> NEW.str_state) EXECUTE FUNCTION trigger__frame_history_open();

-- Counts frames by state: layer_stat, then job_stat, then the layer's first start and last stop.
CREATE FUNCTION trigger__update_frame_status_counts() RETURNS trigger AS $$
DECLARE
    old_count text := 'int_' || OLD.str_state || '_count';
    new_count text := 'int_' || NEW.str_state || '_count';
BEGIN
    EXECUTE 'UPDATE layer_stat SET ' || old_count || ' = ' || old_count || ' - 1, ' || new_count || ' = ' || new_count
        || ' + 1 WHERE pk_layer = $1' USING NEW.pk_layer;
    EXECUTE 'UPDATE job_stat SET ' || old_count || ' = ' || old_count || ' - 1, ' || new_count || ' = ' || new_count
        || ' + 1 WHERE pk_job = $1' USING NEW.pk_job;
    IF NEW.str_state = 'RUNNING' THEN
        UPDATE layer_stat SET ts_started = coalesce(ts_started, NEW.ts_started, now()) WHERE pk_layer = NEW.pk_layer;
    END IF;
    IF OLD.str_state = 'RUNNING' THEN
        UPDATE layer_stat SET ts_stopped = coalesce(NEW.ts_stopped, now()) WHERE pk_layer = NEW.pk_layer;
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_frame_status_counts AFTER UPDATE ON frame
FOR EACH ROW WHEN (OLD.str_state <> 'SETUP' AND OLD.str_state <> NEW.str_state)
EXECUTE FUNCTION trigger__update_frame_status_counts();
