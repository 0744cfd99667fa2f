-- Step 1, frames: locks the first still waiting frames of each layer's window that nobody else holds; what is skipped leaves
-- the plan. Takes no lock it would have to wait for. Lives on c_frame_pk: the state is asked in a way that no index on states serves,
-- since statistics that are older than the work say that hardly anything waits.
-- $1 position of the candidate's layer, $2 candidate frame ids in dispatch order; $3 positions of the layers, $4 how many
-- of each.
SELECT l.at, f.pk_frame, f.int_version
FROM unnest($3::int[], $4::int[]) AS l(at, wanted)
CROSS JOIN LATERAL (
    SELECT f.pk_frame, f.int_version
    FROM unnest($1::int[], $2::text[]) WITH ORDINALITY AS w(at, pk_frame, ord)
    JOIN frame f ON f.pk_frame = w.pk_frame
    WHERE w.at = l.at AND coalesce(f.str_state, '') = 'WAITING'
    ORDER BY w.ord
    LIMIT l.wanted
    FOR UPDATE OF f SKIP LOCKED
) f
