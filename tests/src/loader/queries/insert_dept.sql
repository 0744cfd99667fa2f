-- One department serves the whole farm: it matters to the counters of `point` only.
INSERT INTO dept (pk_dept, str_name) VALUES ($1, $2)
