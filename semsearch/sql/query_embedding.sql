-- Crosses a role: what others have asked is nobody's to read, but whoever knows a text may have its embedding.
CREATE OR REPLACE FUNCTION semsearch.query_embedding(collection text, query text) RETURNS vector
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record := semsearch.find_space(collection);
    problem text := CASE
        WHEN target.model IS NULL
            THEN format('collection %L has no model: search it by embedding or by document', collection)
        WHEN query IS NULL OR query !~ '\S' THEN 'the query is empty'
        WHEN octet_length(query) > 32768 THEN 'the query is longer than 32 kB'
    END;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (
        SELECT e.embedding FROM semsearch.query_embeddings e
        WHERE e.fingerprint = target.fingerprint AND e.hash = sha256(convert_to(query, 'UTF8'))
    );
END $$;
COMMENT ON FUNCTION semsearch.query_embedding(text, text) IS
    'The embedding of a query as the collection''s model made it, from the cache; NULL when it has not been made, which '
    'CALL semsearch.embed(collection, query) asks for. query: at most 32 kB. '
    'Example: SELECT text FROM collections.handbook '
    'ORDER BY embedding <=> (SELECT semsearch.query_embedding(''handbook'', ''reset my password'')) LIMIT 5';
REVOKE ALL ON FUNCTION semsearch.query_embedding(text, text) FROM PUBLIC;
