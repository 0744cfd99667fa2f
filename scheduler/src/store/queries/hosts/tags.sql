-- The tags of an allocation's hosts. Called when a pool's hosts are read whole. $1 allocation id.
SELECT t.pk_host, t.str_tag, t.str_tag_type
FROM host_tag t
JOIN host h ON h.pk_host = t.pk_host
WHERE h.pk_alloc = $1
