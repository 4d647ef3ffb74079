-- Part of a user's transaction that deletes a document, and may neither fail it nor hold it up: the task that was
-- written just before removes whatever this leaves.
CREATE OR REPLACE FUNCTION semsearch.remove_chunks(collection_id integer, document_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    space record;
BEGIN
    -- Two serializable transactions that delete different documents would meet on the pages of the chunks, and one of
    -- them would fail at its commit, where nothing can catch it.
    IF current_setting('transaction_isolation') = 'serializable' THEN
        RETURN;
    END IF;
    FOR space IN SELECT s.id FROM semsearch.spaces s WHERE s.collection_id = remove_chunks.collection_id LOOP
        BEGIN
            EXECUTE format('DELETE FROM semsearch.%I WHERE document_id = $1', 'chunks_' || space.id)
            USING remove_chunks.document_id;
        EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available OR undefined_table
            OR insufficient_privilege THEN
            -- Under REPEATABLE READ a worker may have rewritten the chunks since the user's snapshot (40001).
            NULL;
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION semsearch.remove_chunks(integer, text) IS
    'For triggers: removes the chunks of a document that is being deleted, where that can be had without an error.';
REVOKE ALL ON FUNCTION semsearch.remove_chunks(integer, text) FROM PUBLIC;
