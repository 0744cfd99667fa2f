-- Which managed and active show may use which allocation. Called at each cluster reload. $1 facility id or null.
SELECT s.pk_show, sh.str_name AS show_name, s.pk_alloc
FROM subscription s
JOIN show sh ON sh.pk_show = s.pk_show
JOIN alloc a ON a.pk_alloc = s.pk_alloc
WHERE sh.b_scheduler_managed AND sh.b_active AND ($1::text IS NULL OR a.pk_facility = $1)
