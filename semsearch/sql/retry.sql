CREATE OR REPLACE FUNCTION semsearch.retry(
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
    -- It cannot be dropped until this is committed, or its tasks would stay.
    PERFORM FROM semsearch.collections c WHERE c.name = retry.collection FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'collection % does not exist', quote_nullable(collection) USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO semsearch.tasks (collection_id, document_id, lane)
    SELECT f.collection_id, f.document_id, 1
    FROM semsearch.failures f
    JOIN semsearch.collections c ON c.id = f.collection_id
    WHERE c.name = retry.collection
      AND (retry.document_id IS NULL OR f.document_id = retry.document_id)
      AND (retry.reason IS NULL OR strpos(lower(f.reason), lower(retry.reason)) > 0)
      AND (retry.since IS NULL OR f.failed_at >= retry.since)
      AND NOT EXISTS (
          SELECT FROM semsearch.tasks t WHERE t.collection_id = f.collection_id AND t.document_id = f.document_id
      );
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;
COMMENT ON FUNCTION semsearch.retry(text, text, text, timestamptz) IS
    'Have documents that were given up tried again: all of a collection, one of them, those whose reason contains a '
    'text, those given up since a moment. Returns how many. Their failures stay until a worker has finished them.';
