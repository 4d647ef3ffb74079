-- 3CosAdd (Mikolov, Yih and Zweig 2013): the words by cosine to given - minus + plus, each as long as one.
CREATE OR REPLACE FUNCTION semsearch.analogy(model text, given text, minus text, plus text, top_k integer DEFAULT 10)
RETURNS TABLE (word text, similarity double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found semsearch.word_models := semsearch.find_word_model(model);
    pgvector text := (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'vector');
    asked text[] := ARRAY[given, minus, plus];
    target record;
BEGIN
    IF top_k IS NULL OR top_k NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'top_k is a whole number from 1 to 1000; got %', coalesce(top_k::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF found.lowercase THEN
        asked := ARRAY(SELECT lower(a.word) FROM unnest(asked) WITH ORDINALITY AS a (word, place) ORDER BY a.place);
    END IF;
    EXECUTE format(
        'SELECT semsearch.word_vector($1, $2[1]) OPERATOR(%1$s.-) semsearch.word_vector($1, $2[2]) '
        '       OPERATOR(%1$s.+) semsearch.word_vector($1, $2[3]) AS embedding', pgvector
    ) INTO target USING found.name, asked;
    -- LIMIT innermost, by the bare distance: an index on the words, should anybody make one, is used.
    RETURN QUERY EXECUTE format(
        'SELECT n.word, 1 - n.distance FROM ('
        '    SELECT w.word, w.embedding OPERATOR(%1$s.<=>) $1 AS distance FROM semsearch.%2$I w '
        '    WHERE w.word <> ALL ($2) ORDER BY w.embedding OPERATOR(%1$s.<=>) $1 LIMIT $3'
        ') n ORDER BY n.distance, n.word',
        pgvector, 'words_' || found.id
    ) USING target.embedding, asked, top_k;
END $$;
COMMENT ON FUNCTION semsearch.analogy(text, text, text, text, integer) IS
    'The words that are to plus what given is to minus: nearest, by cosine similarity, to given - minus + plus (3CosAdd); '
    'these three are left out. Example, king - man + woman: '
    'SELECT * FROM semsearch.analogy(''glove'', ''king'', ''man'', ''woman'')';
