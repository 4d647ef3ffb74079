CREATE OR REPLACE VIEW semsearch.collection_spaces WITH (security_invoker = true) AS
SELECT
    c.name AS collection,
    s.state,
    s.model,
    s.dimensions,
    s.distance,
    s.vector_type,
    s.chunk_size,
    s.index_kind,
    index.index,
    index.index_is_valid,
    chunks.name AS "table",
    CASE WHEN seen.whole THEN greatest(t.reltuples, 0)::bigint END AS chunks,
    CASE WHEN seen.whole THEN pg_total_relation_size(t.oid) END AS bytes
FROM semsearch.spaces s
JOIN semsearch.collections c ON c.id = s.collection_id
CROSS JOIN LATERAL (SELECT 'semsearch.chunks_' || s.id AS name) chunks
-- How much other tenants have is nothing that one of them is told, as in semsearch.status.
CROSS JOIN LATERAL (SELECT c.tenant IS NULL OR semsearch.was_granted_tenant(c.id, NULL) AS whole) seen
LEFT JOIN pg_catalog.pg_class t ON t.oid = to_regclass(chunks.name)
LEFT JOIN LATERAL (
    SELECT method.amname::text AS index, x.indisvalid AND x.indisready AS index_is_valid
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_am method ON method.oid = i.relam
    WHERE x.indrelid = t.oid AND method.amname IN ('hnsw', 'ivfflat') AND x.indpred IS NULL
    ORDER BY x.indisvalid AND x.indisready DESC, i.relname LIMIT 1
) index ON true;
