CREATE OR REPLACE FUNCTION semsearch.find_word_model(model text) RETURNS semsearch.word_models
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found semsearch.word_models;
BEGIN
    SELECT * INTO found FROM semsearch.word_models m WHERE m.name = find_word_model.model;
    IF found.id IS NULL THEN
        RAISE EXCEPTION 'word model % does not exist', quote_nullable(model)
            USING ERRCODE = 'no_data_found', HINT = coalesce(
                (SELECT 'There are: ' || string_agg(m.name, ', ' ORDER BY m.name) FROM semsearch.word_models m),
                'There are none yet: `semsearch words load NAME FILE` loads one.'
            );
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION semsearch.find_word_model(text) IS
    'The row of a word model; an error that lists them all where there is none of that name. '
    'Example: SELECT (semsearch.find_word_model(''glove'')).dimensions';
