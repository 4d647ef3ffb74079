CREATE OR REPLACE FUNCTION semsearch.key_expression(source text, ids text[], types text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts text := (
        SELECT string_agg(format('%s.%I::text', source, id), ', ' ORDER BY place)
        FROM unnest(ids) WITH ORDINALITY AS u (id, place)
    );
    whole text := CASE WHEN cardinality(ids) = 1 THEN parts ELSE format('jsonb_build_array(%s)::text', parts) END;
BEGIN
    -- What documents that are put may have: 1 to 1,024 bytes. A row with another key is no document.
    IF 'text' = ANY (types) THEN
        whole := format('CASE WHEN octet_length(%1$s) BETWEEN 1 AND 1024 THEN %1$s END', whole);
    END IF;
    RETURN whole;
END $$;
COMMENT ON FUNCTION semsearch.key_expression(text, text[], text[]) IS
    'An expression for the document id of a row: the key as text, several columns as a JSON array of texts.';
