-- The table's name is made of the space's number, which a plain view cannot do.
CREATE OR REPLACE FUNCTION semsearch.stored_documents(space_id integer) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM semsearch.%I WHERE ordinal = 0', 'chunks_' || space_id) INTO stored;
    RETURN stored;
EXCEPTION WHEN undefined_table THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.stored_documents(integer) IS
    'How many documents have chunks in a space, counted.';
