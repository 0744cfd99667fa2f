-- The rows of subscription and point that belong to shows, allocations and departments. $1 show ids, $2 allocation ids; $3 show
-- ids, $4 department ids.
SELECT 'subscription' AS name, s.pk_subscription AS key
FROM unnest($1::text[], $2::text[]) AS w(pk_show, pk_alloc)
JOIN subscription s ON s.pk_show = w.pk_show AND s.pk_alloc = w.pk_alloc
UNION
SELECT 'point', p.pk_point
FROM unnest($3::text[], $4::text[]) AS w(pk_show, pk_dept)
JOIN point p ON p.pk_show = w.pk_show AND p.pk_dept = w.pk_dept
