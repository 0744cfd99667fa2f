-- The id of a facility by its exact name, kept as text. Names are not unique; the first row wins, as it always did.
-- Called at each cluster reload, since a facility can be renamed, and at each scan while it is missing. $1 name.
SELECT pk_facility FROM facility WHERE str_name = $1 ORDER BY pk_facility LIMIT 1
