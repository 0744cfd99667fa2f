-- A composite dependency ends with the last one below it.
UPDATE depend AS parent
SET b_active = false, ts_satisfied = now()
WHERE parent.pk_depend = ANY ($1::text[]) AND parent.b_active
  AND NOT EXISTS (SELECT FROM depend AS child WHERE child.pk_parent = parent.pk_depend AND child.b_active)
