-- Crosses a role, as put does. In the order of store/removal.py, whose comments say why.
CREATE OR REPLACE FUNCTION semsearch.delete(collection text, id text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
<<held>>
DECLARE
    target semsearch.collections := semsearch.hold_collection(collection);
    document text := id;
    was_bulk text := current_setting('semsearch.bulk', true);
    is_gone boolean;
    space record;
BEGIN
    PERFORM set_config('semsearch.bulk', 'on', true);
    DELETE FROM semsearch.documents d
    WHERE d.collection_id = target.id AND d.id = document
      AND (target.tenant IS NULL OR semsearch.was_granted_tenant(target.id, d.metadata ->> target.tenant));
    is_gone := FOUND;
    PERFORM set_config('semsearch.bulk', coalesce(was_bulk, ''), true);
    IF is_gone THEN
        DELETE FROM semsearch.tasks t WHERE t.collection_id = target.id AND t.document_id = document;
        FOR space IN SELECT s.id FROM semsearch.spaces s WHERE s.collection_id = target.id LOOP
            EXECUTE format('DELETE FROM semsearch.%I WHERE document_id = $1', 'chunks_' || space.id) USING document;
        END LOOP;
        DELETE FROM semsearch.failures f WHERE f.collection_id = target.id AND f.document_id = document;
    END IF;
    RETURN is_gone;
END $$;
COMMENT ON FUNCTION semsearch.delete(text, text) IS
    'Delete a document with its chunks, in this transaction; false when there is none of that id, or it is of a tenant that '
    'you were not granted. collection: its name, not one that a table is attached to. '
    'Example: SELECT semsearch.delete(''handbook'', ''a1'')';
REVOKE ALL ON FUNCTION semsearch.delete(text, text) FROM PUBLIC;
