CREATE OR REPLACE FUNCTION semsearch.attachment_columns(attachment jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT name
        FROM jsonb_array_elements_text(
            (attachment -> 'texts') || (attachment -> 'metadata') || coalesce(nullif(attachment -> 'title', 'null'), '[]')
        ) AS name
        ORDER BY name
    );
END $$;
COMMENT ON FUNCTION semsearch.attachment_columns(jsonb) IS
    'The columns of an attached table that make up text, title and metadata of a document.';
