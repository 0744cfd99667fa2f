-- Triggers of layer: the rows beside a layer, the end.

CREATE FUNCTION trigger__after_insert_layer() RETURNS trigger AS $$
BEGIN
    INSERT INTO layer_stat (pk_layer_stat, pk_layer, pk_job) VALUES (NEW.pk_layer, NEW.pk_layer, NEW.pk_job);
    INSERT INTO layer_resource (pk_layer_resource, pk_layer, pk_job) VALUES (NEW.pk_layer, NEW.pk_layer, NEW.pk_job);
    INSERT INTO layer_usage (pk_layer_usage, pk_layer, pk_job) VALUES (NEW.pk_layer, NEW.pk_layer, NEW.pk_job);
    INSERT INTO layer_mem (pk_layer_mem, pk_layer, pk_job) VALUES (NEW.pk_layer, NEW.pk_layer, NEW.pk_job);
    IF history_is_on() THEN
        INSERT INTO layer_history (pk_layer, pk_job, str_name, str_type, int_cores_min, int_mem_min, str_services)
        VALUES (NEW.pk_layer, NEW.pk_job, NEW.str_name, NEW.str_type, NEW.int_cores_min, NEW.int_mem_min, NEW.str_services);
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER after_insert_layer AFTER INSERT ON layer FOR EACH ROW EXECUTE FUNCTION trigger__after_insert_layer();

CREATE FUNCTION trigger__before_delete_layer() RETURNS trigger AS $$
BEGIN
    IF history_is_on() THEN
        PERFORM archive_layer(OLD.pk_layer);
        UPDATE layer_history SET b_archived = true WHERE pk_layer = OLD.pk_layer;
    END IF;
    DELETE FROM layer_resource WHERE pk_layer = OLD.pk_layer;
    DELETE FROM layer_stat WHERE pk_layer = OLD.pk_layer;
    DELETE FROM layer_usage WHERE pk_layer = OLD.pk_layer;
    DELETE FROM layer_env WHERE pk_layer = OLD.pk_layer;
    DELETE FROM layer_mem WHERE pk_layer = OLD.pk_layer;
    DELETE FROM layer_output WHERE pk_layer = OLD.pk_layer;
    RETURN OLD;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_delete_layer BEFORE DELETE ON layer FOR EACH ROW EXECUTE FUNCTION trigger__before_delete_layer();

CREATE FUNCTION trigger__before_delete_layer_drop_limit() RETURNS trigger AS $$
BEGIN
    DELETE FROM layer_limit WHERE pk_layer = OLD.pk_layer;
    RETURN OLD;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_delete_layer_drop_limit BEFORE DELETE ON layer
FOR EACH ROW EXECUTE FUNCTION trigger__before_delete_layer_drop_limit();
