-- Crosses a role: who may search one tenant's chunks has no right to the tables that describe collections.
CREATE OR REPLACE FUNCTION semsearch.find_space(
    collection text,
    OUT collection_id integer,
    OUT space_id integer,
    OUT model text,
    OUT dimensions integer,
    OUT distance text,
    OUT vector_type text,
    OUT fingerprint text,
    OUT calibration jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    near text;
BEGIN
    SELECT s.collection_id, s.id, s.model, s.dimensions, s.distance, s.vector_type, s.fingerprint, s.calibration
    INTO collection_id, space_id, model, dimensions, distance, vector_type, fingerprint, calibration
    FROM semsearch.collections c
    JOIN semsearch.spaces s ON s.collection_id = c.id AND s.state = 'live'
    WHERE c.name = collection;
    IF space_id IS NOT NULL THEN
        RETURN;
    END IF;
    -- The name that has most pairs of letters in common with what was asked for, if that is half of them.
    SELECT c.name INTO near
    FROM semsearch.collections c
    CROSS JOIN LATERAL (
        SELECT count(*) AS pairs FROM generate_series(1, length(c.name) - 1) AS place
        WHERE strpos(left(collection, 100), substr(c.name, place, 2)) > 0
    ) common
    WHERE common.pairs > 0 AND 2 * common.pairs >= greatest(length(c.name), length(left(collection, 100))) - 1
    ORDER BY common.pairs DESC, c.name LIMIT 1;
    RAISE EXCEPTION 'collection % does not exist', quote_nullable(left(collection, 80))
        USING ERRCODE = 'no_data_found', HINT = coalesce(
            'Did you mean ' || quote_literal(near) || '?', 'SELECT name FROM semsearch.status lists all there are.'
        );
END $$;
COMMENT ON FUNCTION semsearch.find_space(text) IS
    'The live space of a collection: what its chunks are compared by. collection: its name; an error that names the '
    'near one where there is none. Example: SELECT model, dimensions FROM semsearch.find_space(''handbook'')';
REVOKE ALL ON FUNCTION semsearch.find_space(text) FROM PUBLIC;
