-- Triggers of folder and of the history tables.

CREATE FUNCTION trigger__before_insert_folder() RETURNS trigger AS $$
BEGIN
    IF NEW.pk_parent_folder IS NULL THEN
        NEW.b_default := true;
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_insert_folder BEFORE INSERT ON folder FOR EACH ROW EXECUTE FUNCTION trigger__before_insert_folder();

CREATE FUNCTION trigger__after_insert_folder() RETURNS trigger AS $$
BEGIN
    INSERT INTO folder_level (pk_folder_level, pk_folder, int_level)
    VALUES (NEW.pk_folder, NEW.pk_folder,
            CASE WHEN NEW.pk_parent_folder IS NULL THEN 0
                 ELSE (SELECT int_level + 1 FROM folder_level WHERE pk_folder = NEW.pk_parent_folder) END);
    INSERT INTO folder_resource (pk_folder_resource, pk_folder) VALUES (NEW.pk_folder, NEW.pk_folder);
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER after_insert_folder AFTER INSERT ON folder FOR EACH ROW EXECUTE FUNCTION trigger__after_insert_folder();

CREATE FUNCTION trigger__before_delete_folder() RETURNS trigger AS $$
BEGIN
    DELETE FROM folder_level WHERE pk_folder = OLD.pk_folder;
    DELETE FROM folder_resource WHERE pk_folder = OLD.pk_folder;
    RETURN OLD;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER before_delete_folder BEFORE DELETE ON folder FOR EACH ROW EXECUTE FUNCTION trigger__before_delete_folder();

CREATE FUNCTION trigger__history_modified() RETURNS trigger AS $$
BEGIN
    NEW.dt_last_modified := current_date;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tbiu_frame_history BEFORE INSERT OR UPDATE ON frame_history FOR EACH ROW EXECUTE FUNCTION trigger__history_modified();
CREATE TRIGGER tbiu_job_history BEFORE INSERT OR UPDATE ON job_history FOR EACH ROW EXECUTE FUNCTION trigger__history_modified();
CREATE TRIGGER tbiu_layer_history BEFORE INSERT OR UPDATE ON layer_history FOR EACH ROW EXECUTE FUNCTION trigger__history_modified();
