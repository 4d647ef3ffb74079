-- By the catalog, which everybody may read: to_regclass fails whoever has no right to use the schema.
CREATE OR REPLACE FUNCTION semsearch.attached_table(attachment jsonb) RETURNS regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT t.oid
        FROM pg_class t
        JOIN pg_namespace s ON s.oid = t.relnamespace
        WHERE s.nspname = attachment ->> 'schema' AND t.relname = attachment ->> 'table'
    );
END $$;
COMMENT ON FUNCTION semsearch.attached_table(jsonb) IS
    'The table of an attachment by its name, also for a role that may not use its schema; NULL when there is none.';
