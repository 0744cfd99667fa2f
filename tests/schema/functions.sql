-- Functions that triggers and Cuebot call.

-- Seconds since 1970.
CREATE FUNCTION epoch(moment timestamptz) RETURNS numeric AS $$
    SELECT floor(extract(epoch FROM moment));
$$ LANGUAGE sql STABLE;

-- How far a share is used: negative while nothing of a minimum is. Some columns have 64 bits, so the arguments are numeric.
CREATE FUNCTION tier(cores numeric, min_cores numeric) RETURNS numeric AS $$
    SELECT CASE WHEN min_cores = 0 THEN cores / 100 + 1
                WHEN cores = 0 THEN -min_cores
                ELSE cores / min_cores END;
$$ LANGUAGE sql IMMUTABLE;

CREATE FUNCTION soft_tier(cores numeric, min_cores numeric) RETURNS numeric AS $$
    SELECT CASE WHEN cores IS NULL THEN 0
                WHEN min_cores = 0 OR cores >= min_cores THEN 1
                WHEN cores = 0 THEN -min_cores
                ELSE cores / min_cores END;
$$ LANGUAGE sql IMMUTABLE;

CREATE FUNCTION interval_to_seconds(span interval) RETURNS numeric AS $$
    SELECT extract(day FROM span) * 86400 + extract(hour FROM span) * 3600
         + extract(minute FROM span) * 60 + extract(second FROM span);
$$ LANGUAGE sql IMMUTABLE;

-- Seconds of a run; one that goes on lasts until now, one that never began took none.
CREATE FUNCTION find_duration(started timestamptz, stopped timestamptz) RETURNS numeric AS $$
    SELECT CASE WHEN started IS NULL THEN 0 ELSE interval_to_seconds(coalesce(stopped, now()) - started) END;
$$ LANGUAGE sql STABLE;

-- host.str_tags: the host's tags in one text, by kind and then by name.
CREATE FUNCTION recalculate_tags(host_id varchar) RETURNS void AS $$
    UPDATE host SET str_tags = (SELECT string_agg(str_tag, ' ' ORDER BY str_tag_type, str_tag)
                                FROM host_tag WHERE pk_host = host_id)
    WHERE pk_host = host_id;
$$ LANGUAGE sql;

-- Sets the subscription counters of shows that Cuebot books from their procs. The burst is moved along with the counter, so
-- that the cap's trigger stays silent, and then put back.
CREATE FUNCTION recalculate_subs() RETURNS void AS $$
DECLARE
    booked record;
    burst bigint;
BEGIN
    UPDATE subscription SET int_cores = 0, int_gpus = 0
    WHERE pk_show IN (SELECT pk_show FROM show WHERE NOT b_scheduler_managed);
    FOR booked IN
        SELECT p.pk_show, h.pk_alloc, sum(p.int_cores_reserved) AS cores, sum(p.int_gpus_reserved) AS gpus
        FROM proc p
        JOIN host h ON h.pk_host = p.pk_host
        JOIN show s ON s.pk_show = p.pk_show
        WHERE NOT p.b_local AND NOT s.b_scheduler_managed
        GROUP BY p.pk_show, h.pk_alloc
    LOOP
        SELECT int_burst INTO burst FROM subscription
        WHERE pk_show = booked.pk_show AND pk_alloc = booked.pk_alloc FOR UPDATE;
        UPDATE subscription SET int_burst = booked.cores, int_cores = booked.cores, int_gpus = booked.gpus
        WHERE pk_show = booked.pk_show AND pk_alloc = booked.pk_alloc;
        UPDATE subscription SET int_burst = burst
        WHERE pk_show = booked.pk_show AND pk_alloc = booked.pk_alloc;
    END LOOP;
END;
$$ LANGUAGE plpgsql;
