-- The counters per department and show, which every booking and release writes.
INSERT INTO point (pk_point, pk_dept, pk_show) VALUES ($1, $2, $3)
