CREATE OR REPLACE FUNCTION semsearch.similar(
    collection text,
    document_id text,
    top_k integer DEFAULT 10,
    filter jsonpath DEFAULT NULL
) RETURNS SETOF semsearch.hit
LANGUAGE plpgsql STABLE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    space record := semsearch.find_space(collection);
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    mean semsearch.query_embeddings.embedding%TYPE;
BEGIN
    EXECUTE format(
        'SELECT %1$s.avg(c.embedding)::%1$s.vector FROM semsearch.%2$I c WHERE c.document_id = $1',
        pgvector, 'chunks_' || space.space_id
    ) INTO mean USING document_id;
    IF mean IS NULL THEN
        RAISE EXCEPTION 'document % has no embedding in collection %', quote_nullable(left(document_id, 80)),
            quote_literal(collection) USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM semsearch.check_asked(collection, mean, top_k, filter);
    RETURN QUERY SELECT * FROM semsearch.nearest_chunks(collection, mean, top_k, filter, document_id);
EXCEPTION WHEN undefined_table THEN
    RAISE EXCEPTION 'collection % was dropped meanwhile', quote_literal(collection) USING ERRCODE = 'no_data_found';
END $$;
COMMENT ON FUNCTION semsearch.similar(text, text, integer, jsonpath) IS
    'The chunks of other documents that are nearest to a document, nearest first: top_k of them (10; 1 to 1000), or all '
    'that match. collection: its name; document_id: the document, which stands for the mean of its chunks'' embeddings; '
    'filter: as for semsearch.search. No model and no worker is needed. '
    'Example: SELECT DISTINCT document_id FROM semsearch.similar(''handbook'', ''a1'', 5)';
