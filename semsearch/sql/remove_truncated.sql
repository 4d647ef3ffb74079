-- Part of a user's TRUNCATE, of the table or of one of its partitions, and may not fail it. What cannot be told from
-- here is left to a worker, by the task of a document that cannot be: '' says that rows may have gone unseen.
CREATE OR REPLACE FUNCTION semsearch.remove_truncated(collection_id integer, remains text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    level text := current_setting('transaction_isolation');
    -- TRUNCATE takes the rows of every snapshot, but an older one of ours lacks the chunks that were stored since.
    unseen boolean := level IN ('repeatable read', 'serializable');
    place record;
BEGIN
    FOR place IN
        SELECT 'chunks_' || s.id AS name, 'true' AS ours
        FROM semsearch.spaces s WHERE s.collection_id = remove_truncated.collection_id
        UNION ALL SELECT 'failures', 'c.collection_id = $1'
    LOOP
        BEGIN
            EXECUTE format(
                'INSERT INTO semsearch.tasks (collection_id, document_id, lane) '
                'SELECT DISTINCT $1, c.document_id, 1 FROM semsearch.%I c WHERE %s AND NOT %s',
                place.name, place.ours, remains
            ) USING remove_truncated.collection_id;
        EXCEPTION WHEN undefined_table OR undefined_column OR undefined_function OR insufficient_privilege
            OR data_exception THEN
            unseen := true;  -- the table has another shape or name now, or a document an id that is no key
            CONTINUE;
        END;
        CONTINUE WHEN place.name = 'failures' OR level = 'serializable';  -- as in remove_chunks
        BEGIN
            EXECUTE format('DELETE FROM semsearch.%I c WHERE NOT %s', place.name, remains);
        EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available OR undefined_table
            OR insufficient_privilege THEN
            NULL;  -- the tasks remove them
        END;
    END LOOP;
    IF unseen THEN
        INSERT INTO semsearch.tasks (collection_id, document_id) VALUES (remove_truncated.collection_id, '');
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.remove_truncated(integer, text) IS
    'For triggers: writes a task for every document with chunks or a failure whose row is gone, and removes those '
    'chunks.';
REVOKE ALL ON FUNCTION semsearch.remove_truncated(integer, text) FROM PUBLIC;
