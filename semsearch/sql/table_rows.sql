CREATE OR REPLACE FUNCTION semsearch.table_rows(relation regclass) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- reltuples is -1 until the first VACUUM or ANALYZE; the counters of live rows fill that gap.
    RETURN (
        SELECT sum(greatest(t.reltuples, pg_stat_get_live_tuples(t.oid), 0))
        FROM pg_class t
        WHERE t.relkind = 'r' AND (t.oid = relation OR t.oid IN (SELECT relid FROM pg_partition_tree(relation)))
    );
END $$;
COMMENT ON FUNCTION semsearch.table_rows(regclass) IS
    'About how many rows a table has, its partitions included: what the catalog says, nothing is read.';
