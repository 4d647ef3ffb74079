-- Runs inside the user's transaction, so it only inserts: it can neither wait for a worker nor meet a conflict.
CREATE OR REPLACE FUNCTION semsearch.enqueue_document() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tg_op = 'DELETE' OR (tg_op = 'UPDATE' AND (old.collection_id, old.id) IS DISTINCT FROM (new.collection_id, new.id)) THEN
        -- The task first: whatever a worker stores from here on is found again by whoever does this task.
        INSERT INTO semsearch.tasks (collection_id, document_id) VALUES (old.collection_id, old.id);
        PERFORM semsearch.remove_chunks(old.collection_id, old.id);
    END IF;
    IF tg_op <> 'DELETE' THEN
        INSERT INTO semsearch.tasks (collection_id, document_id) VALUES (new.collection_id, new.id);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.enqueue_document() IS
    'Trigger on semsearch.documents: writes a task for every changed document and removes the chunks of deleted ones.';
REVOKE ALL ON FUNCTION semsearch.enqueue_document() FROM PUBLIC;
