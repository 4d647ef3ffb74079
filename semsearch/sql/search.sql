CREATE OR REPLACE FUNCTION semsearch.search(
    collection text,
    query text DEFAULT NULL,
    top_k integer DEFAULT 10,
    filter jsonpath DEFAULT NULL,
    embedding vector DEFAULT NULL
) RETURNS SETOF semsearch.hit
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (query IS NULL) = (embedding IS NULL) THEN
        RAISE EXCEPTION 'search takes a query or an embedding, one of them' USING ERRCODE = 'invalid_parameter_value';
    ELSIF embedding IS NULL THEN
        embedding := semsearch.query_embedding(collection, query);
    END IF;
    IF embedding IS NULL THEN
        RAISE EXCEPTION 'the text % has no embedding yet', quote_literal(left(query, 80)) USING
            ERRCODE = 'SEM01', HINT = format('CALL semsearch.embed(%L, %s)', collection, CASE
                WHEN length(query) <= 200 THEN quote_literal(query) ELSE 'that text'
            END);
    END IF;
    PERFORM semsearch.check_asked(collection, embedding, top_k, filter);
    RETURN QUERY SELECT * FROM semsearch.nearest_chunks(collection, embedding, top_k, filter, NULL);
END $$;
COMMENT ON FUNCTION semsearch.search(text, text, integer, jsonpath, vector) IS
    'The chunks of a collection nearest to a text, nearest first: top_k of them (10; 1 to 1000), or all that match. '
    'collection: its name; query: a text that was embedded before, by CALL semsearch.embed(collection, query), or the '
    'error SEM01 says so; filter: a jsonpath predicate on the metadata, such as ''$.year >= 2020 && $.lang == "en"'' '
    '(a mere path such as ''$.year'' matches only where the value is true); embedding: what to search by instead of a text, '
    'a vector (that of a collection that stores halfvec: embedding::vector). '
    'distance: the collection''s own operator''s, smaller is nearer. '
    'Row-level security applies: a role that was granted a tenant finds that tenant''s chunks. '
    'Example: SELECT document_id, distance, text FROM semsearch.search(''handbook'', ''reset my password'', 5)';
