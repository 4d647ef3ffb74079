CREATE OR REPLACE FUNCTION semsearch.changed_expression(source regclass, columns text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Types whose = tells every difference that their text shows. Of others 1.0 = 1.00, or there is no = at all.
    exact regtype[] := '{boolean, smallint, integer, bigint, oid, uuid, date, time, timestamp, timestamptz}';
BEGIN
    -- PostgreSQL gives a trigger no value of a virtual column: whatever has changed in the row, it may have, too.
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = source AND attname = ANY (columns) AND attgenerated = 'v') THEN
        RETURN 'old *<> new';
    END IF;
    RETURN (
        SELECT string_agg(
            CASE WHEN a.atttypid = ANY (exact) THEN format('old.%1$I IS DISTINCT FROM new.%1$I', a.attname)
                 ELSE format('old.%1$I::text COLLATE "C" IS DISTINCT FROM new.%1$I::text COLLATE "C"', a.attname)
            END,
            ' OR ' ORDER BY a.attnum
        )
        FROM pg_attribute a
        WHERE a.attrelid = source AND a.attname = ANY (columns)
    );
END $$;
COMMENT ON FUNCTION semsearch.changed_expression(regclass, text[]) IS
    'An expression for a trigger: whether an UPDATE has changed one of these columns.';
