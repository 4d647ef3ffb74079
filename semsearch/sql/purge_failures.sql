CREATE OR REPLACE FUNCTION semsearch.purge_failures(
    collection text,
    document_id text DEFAULT NULL,
    reason text DEFAULT NULL,
    since timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number bigint;
BEGIN
    PERFORM FROM semsearch.collections c WHERE c.name = purge_failures.collection;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection % does not exist', quote_nullable(collection) USING ERRCODE = 'no_data_found';
    END IF;
    DELETE FROM semsearch.failures f
    USING semsearch.collections c
    WHERE c.id = f.collection_id
      AND c.name = purge_failures.collection
      AND (purge_failures.document_id IS NULL OR f.document_id = purge_failures.document_id)
      AND (purge_failures.reason IS NULL OR strpos(lower(f.reason), lower(purge_failures.reason)) > 0)
      AND (purge_failures.since IS NULL OR f.failed_at >= purge_failures.since);
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;
COMMENT ON FUNCTION semsearch.purge_failures(text, text, text, timestamptz) IS
    'Forget failures: all of a collection, that of one document (document_id), those whose reason contains a text, those '
    'since a moment. Returns how many. The documents stay as they are, without chunks. '
    'Example: SELECT semsearch.purge_failures(''handbook'', ''a1'')';
