CREATE OR REPLACE FUNCTION semsearch.lock_documents(collection_id integer, ids text[]) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- None once the collection was detached: what a worker still holds of the table is not stored.
    IF to_regprocedure(format('semsearch.lock_%s(text[])', collection_id)) IS NOT NULL THEN
        RETURN QUERY EXECUTE format('SELECT semsearch.lock_%s($1)', collection_id) USING ids;
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.lock_documents(integer, text[]) IS
    'Keeps rows of an attached table from being deleted until the transaction ends; returns those it got at once.';
