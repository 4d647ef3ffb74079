-- Part of a user's TRUNCATE, of the table or of one of its partitions, and may not fail it.
CREATE OR REPLACE FUNCTION semsearch.remove_truncated(collection_id integer, remains text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    space record;
BEGIN
    FOR space IN SELECT 'chunks_' || s.id AS chunks FROM semsearch.spaces s WHERE s.collection_id = remove_truncated.collection_id LOOP
        BEGIN
            EXECUTE format(
                'INSERT INTO semsearch.tasks (collection_id, document_id, lane) '
                'SELECT DISTINCT $1, c.document_id, 1 FROM semsearch.%I c WHERE NOT %s', space.chunks, remains
            ) USING remove_truncated.collection_id;
        EXCEPTION WHEN undefined_table OR undefined_column OR undefined_function OR insufficient_privilege THEN
            -- The table has another shape or name now: a worker looks at every document.
            EXECUTE format(
                'INSERT INTO semsearch.tasks (collection_id, document_id, lane) '
                'SELECT DISTINCT $1, c.document_id, 1 FROM semsearch.%I c', space.chunks
            ) USING remove_truncated.collection_id;
            CONTINUE;
        END;
        CONTINUE WHEN current_setting('transaction_isolation') = 'serializable';  -- as in remove_chunks
        BEGIN
            EXECUTE format('DELETE FROM semsearch.%I c WHERE NOT %s', space.chunks, remains);
        EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available OR undefined_table THEN
            NULL;  -- the tasks remove them
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION semsearch.remove_truncated(integer, text) IS
    'For triggers: writes a task for every document with chunks whose row is gone, and removes those chunks.';
REVOKE ALL ON FUNCTION semsearch.remove_truncated(integer, text) FROM PUBLIC;
