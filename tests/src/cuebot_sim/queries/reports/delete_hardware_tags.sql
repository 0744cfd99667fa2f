-- At a boot the agent's own tags replace those of its last boot.
DELETE FROM host_tag WHERE pk_host = $1 AND str_tag_type = 'HARDWARE'
