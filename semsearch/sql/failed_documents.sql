CREATE OR REPLACE VIEW semsearch.failed_documents WITH (security_invoker = true) AS
SELECT
    c.name AS collection,
    f.document_id,
    f.reason,
    f.attempts,
    f.failed_at,
    EXISTS (
        SELECT FROM semsearch.tasks t WHERE t.collection_id = f.collection_id AND t.document_id = f.document_id
    ) AS waiting
FROM semsearch.failures f
JOIN semsearch.collections c ON c.id = f.collection_id;
COMMENT ON VIEW semsearch.failed_documents IS
    'Documents that were given up and why; waiting: they will be tried again. SELECT semsearch.retry(collection) asks '
    'for that.';
