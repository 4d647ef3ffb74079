CREATE OR REPLACE FUNCTION semsearch.word_vector(model text, word text) RETURNS vector
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found semsearch.word_models := semsearch.find_word_model(model);
    words text := 'words_' || found.id;
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    wanted text := CASE WHEN found.lowercase THEN lower(word) ELSE word END;
    made record;
    near text;
BEGIN
    EXECUTE format('SELECT %s.l2_normalize(w.embedding) AS embedding FROM semsearch.%I w WHERE w.word = $1', pgvector, words)
    INTO made USING wanted;
    IF made.embedding IS NOT NULL THEN
        RETURN made.embedding;
    END IF;
    -- Other spellings, then frequent words with the same beginning: what the index of the words finds at once.
    EXECUTE format(
        'SELECT string_agg(quote_literal(n.word), '', '' ORDER BY n.place, n.rank) FROM ('
        '    SELECT w.word, w.rank, 1 AS place FROM semsearch.%1$I w WHERE w.word IN (lower($1), upper($1), initcap($1)) '
        '    UNION ALL (SELECT w.word, w.rank, 2 FROM semsearch.%1$I w '
        '               WHERE length($1) > 2 AND w.word >= left($1, 4) AND w.word < left($1, 4) || chr(1114111) '
        '               ORDER BY w.rank LIMIT 3)'
        ') n', words
    ) INTO near USING wanted;
    RAISE EXCEPTION 'word model % does not know the word %', quote_literal(found.name), quote_nullable(left(wanted, 80))
        USING ERRCODE = 'no_data_found', HINT = coalesce('Near it are: ' || near || '.', 'No near word was found.');
END $$;
COMMENT ON FUNCTION semsearch.word_vector(text, text) IS
    'The vector of one word, as long as one (l2); an error that names near words where the model does not know it. '
    'Example: SELECT semsearch.word_vector(''glove'', ''king'')';
