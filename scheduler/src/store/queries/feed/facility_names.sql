-- The names of all facilities, to be told when the configured one is not among them. Called while it is missing.
SELECT DISTINCT str_name FROM facility ORDER BY str_name
