-- Triggers of job: the rows beside a job, moves between folders and departments, the end.

CREATE FUNCTION history_is_on() RETURNS boolean AS $$
    SELECT NOT EXISTS (SELECT FROM config WHERE str_key = 'DISABLE_HISTORY');
$$ LANGUAGE sql STABLE;

CREATE FUNCTION trigger__after_insert_job() RETURNS trigger AS $$
BEGIN
    INSERT INTO job_stat (pk_job_stat, pk_job) VALUES (NEW.pk_job, NEW.pk_job);
    INSERT INTO job_resource (pk_job_resource, pk_job) VALUES (NEW.pk_job, NEW.pk_job);
    INSERT INTO job_usage (pk_job_usage, pk_job) VALUES (NEW.pk_job, NEW.pk_job);
    INSERT INTO job_mem (pk_job_mem, pk_job) VALUES (NEW.pk_job, NEW.pk_job);
    IF history_is_on() THEN
        INSERT INTO job_history (pk_job, pk_show, pk_facility, pk_dept, str_name, str_shot, str_user, int_ts_started)
        VALUES (NEW.pk_job, NEW.pk_show, NEW.pk_facility, NEW.pk_dept, NEW.str_name, NEW.str_shot, NEW.str_user, epoch(now()));
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER after_insert_job AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION trigger__after_insert_job();

-- A job that changes its department takes its counters along.
CREATE FUNCTION trigger__after_job_dept_update() RETURNS trigger AS $$
DECLARE
    moved job_resource%ROWTYPE;
BEGIN
    SELECT * INTO moved FROM job_resource WHERE pk_job = NEW.pk_job;
    IF moved.int_cores > 0 THEN
        UPDATE point SET int_cores = int_cores + moved.int_cores WHERE pk_dept = NEW.pk_dept AND pk_show = NEW.pk_show;
        UPDATE point SET int_cores = int_cores - moved.int_cores WHERE pk_dept = OLD.pk_dept AND pk_show = OLD.pk_show;
    END IF;
    IF moved.int_gpus > 0 THEN
        UPDATE point SET int_gpus = int_gpus + moved.int_gpus WHERE pk_dept = NEW.pk_dept AND pk_show = NEW.pk_show;
        UPDATE point SET int_gpus = int_gpus - moved.int_gpus WHERE pk_dept = OLD.pk_dept AND pk_show = OLD.pk_show;
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER after_job_dept_update AFTER UPDATE ON job
FOR EACH ROW WHEN (OLD.pk_dept <> NEW.pk_dept AND NEW.str_state = 'PENDING') EXECUTE FUNCTION trigger__after_job_dept_update();

-- A job that changes its folder takes its counters along: to the new folder first. The job's counter is read without a lock.
CREATE FUNCTION trigger__after_job_moved() RETURNS trigger AS $$
DECLARE
    moved job_resource%ROWTYPE;
BEGIN
    SELECT * INTO moved FROM job_resource WHERE pk_job = NEW.pk_job;
    IF moved.int_cores > 0 THEN
        UPDATE folder_resource SET int_cores = int_cores + moved.int_cores WHERE pk_folder = NEW.pk_folder;
        UPDATE folder_resource SET int_cores = int_cores - moved.int_cores WHERE pk_folder = OLD.pk_folder;
    END IF;
    IF moved.int_gpus > 0 THEN
        UPDATE folder_resource SET int_gpus = int_gpus + moved.int_gpus WHERE pk_folder = NEW.pk_folder;
        UPDATE folder_resource SET int_gpus = int_gpus - moved.int_gpus WHERE pk_folder = OLD.pk_folder;
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER after_job_moved AFTER UPDATE ON job
FOR EACH ROW WHEN (OLD.pk_folder <> NEW.pk_folder) EXECUTE FUNCTION trigger__after_job_moved();

-- What is left of a job when it ends: counts, usage and peaks go to the history. Procs are not touched.
CREATE FUNCTION archive_layer(layer_id varchar) RETURNS void AS $$
    UPDATE layer_history h
    SET int_core_time_success = u.int_core_time_success, int_core_time_fail = u.int_core_time_fail,
        int_gpu_time_success = u.int_gpu_time_success, int_gpu_time_fail = u.int_gpu_time_fail,
        int_frame_count = s.int_total_count, int_waiting_count = s.int_waiting_count, int_dead_count = s.int_dead_count,
        int_depend_count = s.int_depend_count, int_eaten_count = s.int_eaten_count,
        int_succeeded_count = s.int_succeeded_count, int_running_count = s.int_running_count,
        int_max_rss = m.int_max_rss, int_gpu_mem_max = m.int_gpu_mem_max
    FROM layer_usage u, layer_stat s, layer_mem m
    WHERE h.pk_layer = layer_id AND u.pk_layer = layer_id AND s.pk_layer = layer_id AND m.pk_layer = layer_id;
$$ LANGUAGE sql;

CREATE FUNCTION archive_job(job_id varchar) RETURNS void AS $$
    UPDATE job_history h
    SET pk_dept = j.pk_dept, int_core_time_success = u.int_core_time_success, int_core_time_fail = u.int_core_time_fail,
        int_gpu_time_success = u.int_gpu_time_success, int_gpu_time_fail = u.int_gpu_time_fail,
        int_frame_count = j.int_frame_count, int_layer_count = j.int_layer_count,
        int_waiting_count = s.int_waiting_count, int_dead_count = s.int_dead_count, int_depend_count = s.int_depend_count,
        int_eaten_count = s.int_eaten_count, int_succeeded_count = s.int_succeeded_count,
        int_running_count = s.int_running_count, int_max_rss = m.int_max_rss, int_gpu_mem_max = m.int_gpu_mem_max,
        int_ts_stopped = epoch(now())
    FROM job j, job_usage u, job_stat s, job_mem m
    WHERE h.pk_job = job_id AND j.pk_job = job_id AND u.pk_job = job_id AND s.pk_job = job_id AND m.pk_job = job_id;
$$ LANGUAGE sql;

CREATE FUNCTION trigger__after_job_finished() RETURNS trigger AS $$
BEGIN
    PERFORM archive_job(NEW.pk_job);
    PERFORM archive_layer(pk_layer) FROM layer WHERE pk_job = NEW.pk_job;
    DELETE FROM job_local WHERE pk_job = NEW.pk_job;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER after_job_finished AFTER UPDATE ON job
FOR EACH ROW WHEN (OLD.str_state = 'PENDING' AND NEW.str_state = 'FINISHED') EXECUTE FUNCTION trigger__after_job_finished();

CREATE FUNCTION trigger__before_delete_job() RETURNS trigger AS $$
BEGIN
    IF history_is_on() THEN
        PERFORM archive_job(OLD.pk_job);
        UPDATE job_history SET b_archived = true WHERE pk_job = OLD.pk_job;
    END IF;
    DELETE FROM depend WHERE pk_job_depend_on = OLD.pk_job OR pk_job_depend_er = OLD.pk_job;
    DELETE FROM frame_state_display_overrides WHERE pk_frame IN (SELECT pk_frame FROM frame WHERE pk_job = OLD.pk_job);
    DELETE FROM frame WHERE pk_job = OLD.pk_job;
    DELETE FROM layer WHERE pk_job = OLD.pk_job;
    DELETE FROM job_env WHERE pk_job = OLD.pk_job;
    DELETE FROM job_stat WHERE pk_job = OLD.pk_job;
    DELETE FROM job_resource WHERE pk_job = OLD.pk_job;
    DELETE FROM job_usage WHERE pk_job = OLD.pk_job;
    DELETE FROM job_mem WHERE pk_job = OLD.pk_job;
    DELETE FROM job_post WHERE pk_job = OLD.pk_job;
    DELETE FROM comments WHERE pk_job = OLD.pk_job;
    RETURN OLD;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_delete_job BEFORE DELETE ON job FOR EACH ROW EXECUTE FUNCTION trigger__before_delete_job();
