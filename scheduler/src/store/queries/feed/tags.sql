-- The tags that the hosts of each allocation carry. Joined through the host, so that a tag text shared by two
-- allocations makes no empty cluster in the other one. Called at each cluster reload. $1 facility id or null.
SELECT a.pk_facility, h.pk_alloc, a.str_name AS alloc_name, t.str_tag, t.str_tag_type
FROM host_tag t
JOIN host h ON h.pk_host = t.pk_host
JOIN alloc a ON a.pk_alloc = h.pk_alloc
WHERE ($1::text IS NULL OR a.pk_facility = $1)
GROUP BY a.pk_facility, h.pk_alloc, a.str_name, t.str_tag, t.str_tag_type
