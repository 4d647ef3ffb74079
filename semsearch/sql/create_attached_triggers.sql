CREATE OR REPLACE FUNCTION semsearch.create_attached_triggers(collection_id integer, source regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member regclass;
    stale record;
BEGIN
    FOR stale IN  -- the table that bore the name before
        SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger t
        WHERE t.tgname IN ('semsearch_enqueue_' || collection_id, 'semsearch_enqueue_all_' || collection_id)
          AND t.tgparentid = 0 AND t.tgrelid <> source AND t.tgrelid NOT IN (SELECT relid FROM pg_partition_tree(source))
    LOOP
        PERFORM semsearch.lock_table(stale.relation, 'ACCESS EXCLUSIVE');
        EXECUTE format('DROP TRIGGER %I ON %s', stale.tgname, stale.relation);
    END LOOP;
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER semsearch_enqueue_%1$s AFTER INSERT OR UPDATE OR DELETE ON %2$s FOR EACH ROW '
        'WHEN (current_setting(''semsearch.bulk'', true) IS DISTINCT FROM ''on'') '
        'EXECUTE FUNCTION semsearch_attached.enqueue_%1$s()', collection_id, source
    );
    -- Partitions that come later get the first trigger by themselves, but not this one.
    FOR member IN SELECT source UNION SELECT relid FROM pg_partition_tree(source) LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER semsearch_enqueue_all_%1$s AFTER TRUNCATE ON %2$s FOR EACH STATEMENT '
            'WHEN (current_setting(''semsearch.bulk'', true) IS DISTINCT FROM ''on'') '
            'EXECUTE FUNCTION semsearch_attached.enqueue_all_%1$s()', collection_id, member
        );
    END LOOP;
END $$;
COMMENT ON FUNCTION semsearch.create_attached_triggers(integer, regclass) IS
    'Puts the triggers of a collection on a table and, for TRUNCATE, on each of its partitions; takes them off another.';
