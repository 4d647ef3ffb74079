CREATE OR REPLACE FUNCTION semsearch.same_key_expression(document_id text, ids text[], types text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(ids) = 1 THEN
        RETURN format('d.%I = %s::%s', ids[1], document_id, types[1]);
    END IF;
    RETURN (
        SELECT string_agg(format('d.%I = (%s::jsonb ->> %s)::%s', id, document_id, place - 1, type), ' AND ' ORDER BY place)
        FROM unnest(ids, types) WITH ORDINALITY AS u (id, type, place)
    );
END $$;
COMMENT ON FUNCTION semsearch.same_key_expression(text, text[], text[]) IS
    'A condition that finds the row d of a document id by the index of its key.';
