CREATE OR REPLACE FUNCTION semsearch.detach(collection text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target semsearch.collections;
    -- In ours are those of an upgrade that was not allowed to move them.
    made_in oid[] := ARRAY['semsearch_attached'::regnamespace, 'semsearch'::regnamespace];
    watched regclass;
    name text;
    made regprocedure;
    patience text := current_setting('lock_timeout');
BEGIN
    SELECT * INTO target FROM semsearch.collections c WHERE c.name = detach.collection FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection % does not exist', quote_nullable(collection) USING ERRCODE = 'no_data_found';
    ELSIF target.attachment IS NULL THEN
        RAISE EXCEPTION 'collection % is not attached to a table', quote_literal(collection)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Before the table: a worker holds its place in the backfill while it reads from there.
    DELETE FROM semsearch.backfills b WHERE b.collection_id = target.id;
    FOR watched IN
        SELECT DISTINCT t.tgrelid FROM pg_trigger t
        WHERE t.tgparentid = 0 AND t.tgname IN ('semsearch_enqueue_' || target.id, 'semsearch_enqueue_all_' || target.id)
          AND t.tgfoid IN (SELECT f.oid FROM pg_proc f WHERE f.pronamespace = ANY (made_in))
        ORDER BY 1
    LOOP
        BEGIN
            PERFORM semsearch.lock_table(watched, 'ACCESS EXCLUSIVE');
        EXCEPTION WHEN insufficient_privilege THEN
            -- The owner of the functions' schema may have no right to a table that somebody else attached. To drop the
            -- triggers, which locks it too, takes none: it must only not hold up others for long.
            PERFORM set_config('lock_timeout', '1s', true);
        END;
    END LOOP;
    PERFORM semsearch.grant_source(target.id, semsearch.attached_table(target.attachment), '{}');
    -- The triggers go with their functions: to drop them by name one must own the table.
    FOR made IN
        SELECT f.oid FROM pg_proc f
        WHERE f.pronamespace = ANY (made_in) AND f.proname ~ ('^(enqueue|enqueue_all|remains|lock)_' || target.id || '$')
    LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', made);
    END LOOP;
    PERFORM set_config('lock_timeout', patience, true);
    UPDATE semsearch.collections c
    SET attachment = NULL, source = 'documents', state = 'active', reason = NULL, blocked_at = NULL
    WHERE c.id = target.id;
    DELETE FROM semsearch.tasks t WHERE t.collection_id = target.id;
    DELETE FROM semsearch.leases l WHERE l.collection_id = target.id;
    DELETE FROM semsearch.failures f WHERE f.collection_id = target.id;
    FOR name IN SELECT 'chunks_' || s.id FROM semsearch.spaces s WHERE s.collection_id = target.id LOOP
        PERFORM semsearch.lock_table(format('semsearch.%I', name)::regclass, 'ACCESS EXCLUSIVE');
        EXECUTE format('TRUNCATE semsearch.%I', name);
    END LOOP;
END $$;
COMMENT ON FUNCTION semsearch.detach(text) IS
    'Take the triggers off a collection''s table, and the table''s chunks out of the collection, which stays, empty. '
    'collection: its name. Example: SELECT semsearch.detach(''handbook'')';
