-- STABLE, so that an index serves ORDER BY embedding <=> semsearch.embed_words(...). Without one PostgreSQL calls a
-- STABLE function for every row, but a subquery once.
-- Operators are named with pgvector's schema, which may be any: nobody's search_path decides which ones run.
CREATE OR REPLACE FUNCTION semsearch.embed_words(model text, text text) RETURNS vector
LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found semsearch.word_models := semsearch.find_word_model(model);
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    made record;
BEGIN
    EXECUTE format(
        'SELECT %1$s.l2_normalize(%1$s.avg(w.embedding)) AS embedding, %1$s.vector_norm(%1$s.avg(w.embedding)) AS length '
        'FROM unnest($1) AS t (word) JOIN semsearch.%2$I w ON w.word = t.word',
        pgvector, 'words_' || found.id
    ) INTO made USING semsearch.cut_words(text, found.lowercase);
    RETURN CASE WHEN made.length > 0 THEN made.embedding END;
END $$;
COMMENT ON FUNCTION semsearch.embed_words(text, text) IS
    'The embedding of a text by a word model: the mean of the vectors of its words, as long as one (l2). A word that the '
    'model does not know is left out; NULL when it knows none. No worker is needed. Write it as a subquery, so that it is computed once. Example: '
    'SELECT word FROM semsearch.words_1 ORDER BY embedding <=> (SELECT semsearch.embed_words(''glove'', ''a fox'')) LIMIT 5';
