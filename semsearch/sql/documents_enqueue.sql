-- SET LOCAL semsearch.bulk = 'on' keeps the triggers still, for loads that bring their own embeddings.
CREATE OR REPLACE TRIGGER documents_enqueue_insert AFTER INSERT ON semsearch.documents
FOR EACH ROW WHEN (current_setting('semsearch.bulk', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION semsearch.enqueue_document();

CREATE OR REPLACE TRIGGER documents_enqueue_update
AFTER UPDATE OF collection_id, id, title, text, format, metadata ON semsearch.documents
FOR EACH ROW WHEN (
    (old.collection_id, old.id, old.title, old.text, old.format, old.metadata)
        IS DISTINCT FROM (new.collection_id, new.id, new.title, new.text, new.format, new.metadata)
    AND current_setting('semsearch.bulk', true) IS DISTINCT FROM 'on'
)
EXECUTE FUNCTION semsearch.enqueue_document();

CREATE OR REPLACE TRIGGER documents_enqueue_delete AFTER DELETE ON semsearch.documents
FOR EACH ROW WHEN (current_setting('semsearch.bulk', true) IS DISTINCT FROM 'on')
EXECUTE FUNCTION semsearch.enqueue_document();
