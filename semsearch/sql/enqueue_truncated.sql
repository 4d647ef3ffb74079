CREATE OR REPLACE FUNCTION semsearch.enqueue_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM semsearch.remove_truncated(c.id, 'false') FROM semsearch.collections c WHERE c.attachment IS NULL;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.enqueue_truncated() IS
    'Trigger on semsearch.documents: after TRUNCATE, writes a task for every document that had chunks, and removes them.';
REVOKE ALL ON FUNCTION semsearch.enqueue_truncated() FROM PUBLIC;

CREATE OR REPLACE TRIGGER documents_enqueue_truncate AFTER TRUNCATE ON semsearch.documents
FOR EACH STATEMENT WHEN (current_setting('semsearch.bulk', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION semsearch.enqueue_truncated();
