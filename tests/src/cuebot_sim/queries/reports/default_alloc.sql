-- Where a host goes that nobody knows: the allocation that was named; or that of its facility which is marked as default, is
-- called FACILITY.unassigned, or is the first by name; or any that is marked as default.
SELECT alloc.pk_alloc, alloc.str_tag
FROM alloc
JOIN facility ON facility.pk_facility = alloc.pk_facility
WHERE alloc.str_name = $2 OR ($2 IS NULL AND (facility.str_name = $1 OR alloc.b_default))
ORDER BY facility.str_name = $1 DESC, alloc.b_default DESC, alloc.str_name = $1 || '.unassigned' DESC, alloc.str_name
LIMIT 1
