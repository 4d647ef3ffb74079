-- The function is of whoever attached the table, who can replace it: it is called only while it runs as that role, with a
-- pinned path. PostgreSQL cannot be told to hold it so from the check to the call, which are one statement therefore;
-- nor to read a table without running what its owner has made of it. Workers are to have no more rights than they need.
CREATE OR REPLACE FUNCTION semsearch.lock_documents(collection_id integer, ids text[]) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lock regprocedure := to_regprocedure(format('semsearch_attached.lock_%s(text[])', collection_id));
BEGIN
    -- None once the collection was detached: what a worker still holds of the table is not stored.
    IF lock IS NOT NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT semsearch_attached.lock_%s($1) FROM pg_proc p '
            'WHERE p.oid = $2 AND p.prosecdef AND p.proconfig = ''{"search_path=pg_catalog, pg_temp"}''', collection_id
        ) USING ids, lock::oid;
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.lock_documents(integer, text[]) IS
    'Keeps rows of an attached table from being deleted until the transaction ends; returns those it got at once. It calls '
    'a function of whoever attached the table: run workers as semsearch_worker, never as the owner or a superuser, where '
    'others are members of semsearch_admin.';
