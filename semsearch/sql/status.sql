CREATE OR REPLACE VIEW semsearch.status WITH (security_invoker = true) AS
SELECT
    c.name,
    s.model,
    c.state,
    c.reason,
    source.documents,
    stored.documents AS stored_documents,
    trunc(least(stored.documents, source.documents)::numeric / nullif(source.documents, 0), 4)::double precision AS coverage,
    waiting.backlog,
    waiting.lag_seconds,
    (SELECT count(*) FROM semsearch.leases l WHERE l.collection_id = c.id AND l.expires_at > now()) AS leased,
    (SELECT count(*) FROM semsearch.failures f WHERE f.collection_id = c.id) AS failed,
    done.rate,
    CASE WHEN waiting.backlog > 0 THEN now() + make_interval(secs => waiting.backlog / nullif(done.rate, 0)) END
        AS estimated_finish,
    (
        SELECT min(method.amname::text)
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_am method ON method.oid = i.relam
        WHERE x.indrelid = to_regclass('semsearch.chunks_' || s.id)
          AND method.amname IN ('hnsw', 'ivfflat') AND x.indisvalid AND x.indisready
    ) AS index,
    pg_total_relation_size(to_regclass('semsearch.chunks_' || s.id)) AS bytes
FROM semsearch.collections c
JOIN semsearch.spaces s ON s.collection_id = c.id AND s.state = 'live'
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN c.attachment IS NULL
            THEN (SELECT count(*) FROM semsearch.documents d WHERE d.collection_id = c.id)
        ELSE semsearch.table_rows(semsearch.attached_table(c.attachment))
    END AS documents
) source
CROSS JOIN LATERAL (SELECT semsearch.stored_documents(s.id) AS documents) stored
CROSS JOIN LATERAL (
    -- While the rows of an attached table become tasks, a few thousand at a time, those that have not yet wait as well.
    SELECT count(DISTINCT t.document_id) + coalesce((
               SELECT greatest(source.documents - b.enqueued, 0)
               FROM semsearch.backfills b
               WHERE b.collection_id = c.id AND b.finished_at IS NULL
                 AND b.position -> 'among_chunks' IS NULL  -- then every row has become one
           ), 0) AS backlog,
           coalesce(greatest(extract(epoch FROM now() - min(t.enqueued_at)), 0), 0)::double precision AS lag_seconds
    FROM semsearch.tasks t
    WHERE t.collection_id = c.id
) waiting
CROSS JOIN LATERAL (
    -- Since the first minute of the last five in which anything was done: a worker that began just now is not
    -- divided by all five, one that has stopped fades out.
    SELECT round(sum(u.documents) / greatest(extract(epoch FROM now() - min(u.minute)), 1), 2)::double precision AS rate
    FROM semsearch.usage u
    WHERE u.collection_id = c.id AND u.minute > now() - interval '5 minutes'
) done;
COMMENT ON VIEW semsearch.status IS
    'How far each collection is. documents: in its source (of an attached table, an estimate); stored_documents: those '
    'with chunks; coverage: their share (texts that are blank have none); backlog: documents that wait, the oldest for '
    'lag_seconds; rate: documents a second over the last five minutes.';
