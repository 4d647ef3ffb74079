CREATE OR REPLACE FUNCTION semsearch.nearest_words(model text, given text, top_k integer DEFAULT 10)
RETURNS TABLE (word text, similarity double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A word minus itself plus itself is itself.
    RETURN QUERY SELECT a.word, a.similarity FROM semsearch.analogy(model, given, given, given, top_k) a;
END $$;
COMMENT ON FUNCTION semsearch.nearest_words(text, text, integer) IS
    'The words nearest to a word, by cosine similarity; itself is left out. '
    'Example: SELECT * FROM semsearch.nearest_words(''glove'', ''frog'')';
