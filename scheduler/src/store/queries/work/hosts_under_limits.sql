-- The hosts on which frames run under limits that count hosts, whoever booked them. Called where a waiting layer has such a
-- limit, and again in the booking transaction after the limits' locks. $1 limit ids.
SELECT DISTINCT ll.pk_limit_record, p.pk_host
FROM layer_limit ll
JOIN proc p ON p.pk_layer = ll.pk_layer
WHERE ll.pk_limit_record = ANY($1)
