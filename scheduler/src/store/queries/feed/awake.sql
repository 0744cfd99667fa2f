-- The awake scan: for each tag list under (show, facility), how many frames could start now, and in how many seconds the
-- earliest delayed work may. Starts from layer_stat rows with waiting frames (idx_layer_stat_waiting), so its cost
-- follows the waiting work. One absurd row must not fail the scan for all: sums end at the end of the type, and seconds are
-- subtracted as numbers, since times at infinity can't be. Called every queue.active_scan_interval. $1 facility id or null.
SELECT j.pk_show, sh.str_name AS show_name, j.pk_facility, l.str_tags,
       least(coalesce(sum(ls.int_waiting_count) FILTER (WHERE l.ts_start_after IS NULL OR l.ts_start_after <= now()), 0),
             9223372036854775807)::int8 AS frames,
       (extract(epoch FROM min(l.ts_start_after) FILTER (WHERE l.ts_start_after > now())) - extract(epoch FROM now()))::float8
           AS starts_in
FROM layer_stat ls
JOIN layer l ON l.pk_layer = ls.pk_layer
JOIN job j ON j.pk_job = ls.pk_job
JOIN show sh ON sh.pk_show = j.pk_show
WHERE ls.int_waiting_count > 0
  AND j.str_state = 'PENDING' AND NOT j.b_paused
  AND sh.b_scheduler_managed AND sh.b_active
  AND ($1::text IS NULL OR j.pk_facility = $1)
GROUP BY j.pk_show, sh.str_name, j.pk_facility, l.str_tags
