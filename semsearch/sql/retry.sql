CREATE OR REPLACE FUNCTION semsearch.retry(
    collection text,
    document_id text DEFAULT NULL,
    reason text DEFAULT NULL,
    since timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target semsearch.collections;
    sees_all boolean;
    number bigint;
BEGIN
    -- It cannot be dropped until this is committed, or its tasks would stay.
    SELECT * INTO target FROM semsearch.collections c WHERE c.name = retry.collection FOR KEY SHARE;
    IF target.id IS NULL THEN
        RAISE EXCEPTION 'collection % does not exist', quote_nullable(collection) USING ERRCODE = 'no_data_found';
    END IF;
    -- How many there are, told by parts of their reasons, would spell out what is another tenant's. Of documents that are
    -- not here (of an attached table, or deleted) no tenant is known: they are for those who see every tenant's.
    sees_all := target.tenant IS NULL OR semsearch.was_granted_tenant(target.id, NULL);
    INSERT INTO semsearch.tasks (collection_id, document_id, lane)
    SELECT f.collection_id, f.document_id, 1
    FROM semsearch.failures f
    WHERE f.collection_id = target.id
      AND (retry.document_id IS NULL OR f.document_id = retry.document_id)
      AND (retry.reason IS NULL OR strpos(lower(f.reason), lower(retry.reason)) > 0)
      AND (retry.since IS NULL OR f.failed_at >= retry.since)
      AND NOT EXISTS (
          SELECT FROM semsearch.tasks t WHERE t.collection_id = f.collection_id AND t.document_id = f.document_id
      )
      AND (sees_all OR semsearch.was_granted_tenant(target.id, (
          SELECT d.metadata ->> target.tenant FROM semsearch.documents d
          WHERE d.collection_id = target.id AND d.id = f.document_id
      )));
    GET DIAGNOSTICS number = ROW_COUNT;
    RETURN number;
END $$;
COMMENT ON FUNCTION semsearch.retry(text, text, text, timestamptz) IS
    'Have documents that were given up tried again: all of a collection, one of them (document_id), those whose reason '
    'contains a text, those given up since a moment. Returns how many. Their failures stay until a worker has finished '
    'them. Of a collection with tenants, only documents of those that you were granted. '
    'Example: SELECT semsearch.retry(''handbook'', reason => ''rate limit'', since => now() - interval ''1 hour'')';
