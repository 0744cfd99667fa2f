-- The tags of an allocation's hosts, or of those in one slice. Called when a pool's hosts are read whole. $1 allocation id,
-- $2 number of slices (a power of two), $3 which one.
SELECT t.pk_host, t.str_tag, t.str_tag_type
FROM host_tag t
JOIN host h ON h.pk_host = t.pk_host
WHERE h.pk_alloc = $1
  AND ($2::int = 1 OR hashtextextended(h.pk_host, 0) & ($2 - 1) = $3)
