-- The allocations with their facilities and how many hosts each has, whatever state these are in: a pool that loses hosts for an
-- hour should not be cut anew. Called at each cluster reload. $1 facility id or null.
SELECT a.pk_alloc, a.pk_facility, f.str_name AS facility_name,
       (SELECT count(*) FROM host h WHERE h.pk_alloc = a.pk_alloc) AS hosts
FROM alloc a
JOIN facility f ON f.pk_facility = a.pk_facility
WHERE $1::text IS NULL OR a.pk_facility = $1
