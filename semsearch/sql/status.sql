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
    CASE WHEN counted.waiting IS NOT NULL THEN
        coalesce(greatest(extract(epoch FROM now() - counted.oldest), 0), 0)::double precision
    END AS lag_seconds,
    counted.leased,
    counted.failed,
    counted.rate,
    CASE WHEN waiting.backlog > 0 THEN now() + make_interval(secs => waiting.backlog / nullif(counted.rate, 0)) END
        AS estimated_finish,
    (
        SELECT min(method.amname::text)
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_am method ON method.oid = i.relam
        WHERE x.indrelid = to_regclass('semsearch.chunks_' || s.id)
          AND method.amname IN ('hnsw', 'ivfflat') AND x.indisvalid AND x.indisready
    ) AS index,
    CASE WHEN counted.documents IS NOT NULL THEN
        pg_total_relation_size(to_regclass('semsearch.chunks_' || s.id))
    END AS bytes
FROM semsearch.collections c
JOIN semsearch.spaces s ON s.collection_id = c.id AND s.state = 'live'
CROSS JOIN LATERAL semsearch.collection_counts(c.id) counted
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN c.attachment IS NULL OR counted.waiting IS NULL THEN counted.documents
        ELSE semsearch.table_rows(semsearch.attached_table(c.attachment))
    END AS documents
) source
CROSS JOIN LATERAL (SELECT semsearch.stored_documents(s.id) AS documents) stored
CROSS JOIN LATERAL (
    -- While the rows of an attached table become tasks, a few thousand at a time, those that have not yet wait as well.
    SELECT counted.waiting + coalesce(greatest(source.documents - counted.enqueued, 0), 0) AS backlog
) waiting;
COMMENT ON VIEW semsearch.status IS
    'How far each collection is. documents: in its source (of an attached table, an estimate); stored_documents: those '
    'with chunks; coverage: their share (texts that are blank have none); backlog: documents that wait, the oldest for '
    'lag_seconds; rate: documents a second over the last five minutes.';
