INSERT INTO host_tag (pk_host_tag, pk_host, str_tag, str_tag_type, b_constant)
SELECT id, host, tag, kind, kind IN ('ALLOC', 'HOSTNAME')
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS t (id, host, tag, kind)
