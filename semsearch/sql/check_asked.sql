CREATE OR REPLACE FUNCTION semsearch.check_asked(collection text, asked vector, top_k integer, filter jsonpath) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    space record := semsearch.find_space(collection);
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    path text := filter::text;
    given record;
    problem text;
BEGIN
    EXECUTE format('SELECT %1$s.vector_dims($1) AS dimensions, %1$s.vector_norm($1) AS length', pgvector)
    INTO given USING asked;
    problem := CASE
        WHEN top_k IS NULL OR top_k NOT BETWEEN 1 AND 1000
            THEN format('top_k is a whole number from 1 to 1000; got %s', coalesce(top_k::text, 'NULL'))
        WHEN given.dimensions <> space.dimensions THEN format(
            'the embedding has %s dimensions; collection %L has %s', given.dimensions, collection, space.dimensions
        )
        WHEN given.length = 0 AND space.distance = 'cosine'
            THEN 'the embedding is zero, which has no direction and so no cosine distance'
        WHEN octet_length(path) > 16384 THEN 'the filter is longer than 16 kB'
        -- A predicate is printed in parentheses. Of what selects, @@ makes NULL, and no chunk would match.
        WHEN path ~ '^(strict )?\$.*\?\(' THEN format(
            'the filter selects with ?() where it should say yes or no: write %L rather than %L',
            '$.year >= 2020', '$ ? (@.year >= 2020)'
        )
    END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.check_asked(text, vector, integer, jsonpath) IS
    'Raises, in a sentence, what is wrong with an embedding to search by, a top_k or a filter.';
