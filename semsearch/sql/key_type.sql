CREATE OR REPLACE FUNCTION semsearch.key_type(source regclass, name text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT CASE a.atttypid
            WHEN 'smallint'::regtype THEN 'bigint'  -- its index serves a comparison with bigint, too
            WHEN 'integer'::regtype THEN 'bigint'
            WHEN 'bigint'::regtype THEN 'bigint'
            WHEN 'uuid'::regtype THEN 'uuid'
            WHEN 'text'::regtype THEN 'text'
            WHEN 'varchar'::regtype THEN 'text'
        END
        FROM pg_attribute a
        WHERE a.attrelid = source AND a.attname = name AND a.attnum > 0 AND NOT a.attisdropped
    );
END $$;
COMMENT ON FUNCTION semsearch.key_type(regclass, text) IS
    'The type by which a key column is looked up: bigint, uuid or text; NULL for a column that cannot identify documents.';
