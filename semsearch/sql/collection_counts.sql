-- Tables that readers may not read, counted: numbers cross the role, no text and no document's id does.
CREATE OR REPLACE FUNCTION semsearch.collection_counts(
    collection_id integer, OUT documents bigint, OUT waiting bigint, OUT oldest timestamptz, OUT leased bigint,
    OUT failed bigint, OUT rate double precision, OUT enqueued bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- How much other tenants have is nothing that one of them is told: all is NULL then.
    IF EXISTS (SELECT FROM semsearch.collections c WHERE c.id = collection_counts.collection_id AND c.tenant IS NOT NULL)
        AND NOT semsearch.was_granted_tenant(collection_counts.collection_id, NULL)
    THEN
        RETURN;
    END IF;
    documents := (SELECT count(*) FROM semsearch.documents d WHERE d.collection_id = collection_counts.collection_id);
    SELECT count(DISTINCT t.document_id), min(t.enqueued_at) INTO waiting, oldest
    FROM semsearch.tasks t WHERE t.collection_id = collection_counts.collection_id;
    leased := (
        SELECT count(*) FROM semsearch.leases l
        WHERE l.collection_id = collection_counts.collection_id AND l.expires_at > now()
    );
    failed := (SELECT count(*) FROM semsearch.failures f WHERE f.collection_id = collection_counts.collection_id);
    -- Since the first minute of the last five in which anything was done: a worker that began just now is not
    -- divided by all five, one that has stopped fades out.
    rate := (
        SELECT round(sum(u.documents) / greatest(extract(epoch FROM now() - min(u.minute)), 1), 2)
        FROM semsearch.usage u
        WHERE u.collection_id = collection_counts.collection_id AND u.minute > now() - interval '5 minutes'
    );
    enqueued := (
        SELECT b.enqueued FROM semsearch.backfills b
        WHERE b.collection_id = collection_counts.collection_id AND b.finished_at IS NULL
          AND b.position -> 'among_chunks' IS NULL  -- then every row has become one
    );
END $$;
COMMENT ON FUNCTION semsearch.collection_counts(integer) IS
    'For the view semsearch.status: how many documents a collection has, how many wait and since when, are leased or were '
    'given up, how many a second are done; enqueued: of an attached table, the rows that are tasks already. '
    'All NULL of a collection with tenants, for roles that see but some of them. '
    'Example: SELECT * FROM semsearch.collection_counts(1)';
