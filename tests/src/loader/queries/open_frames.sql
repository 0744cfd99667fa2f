-- Leaving SETUP changes no counter; a trigger turns frames with dependencies to DEPEND.
UPDATE frame SET str_state = 'WAITING', ts_updated = now() WHERE pk_job = ANY ($1::text[]) AND str_state = 'SETUP'
