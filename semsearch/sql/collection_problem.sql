CREATE OR REPLACE FUNCTION semsearch.collection_problem(collection semsearch.collections, attachment jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before jsonb := collection.attachment;
BEGIN
    IF before IS NOT NULL AND (before - 'texts' - 'title' - 'metadata') <> (attachment - 'texts' - 'title' - 'metadata') THEN
        RETURN format(
            'collection %L is attached to %I.%I by another key or table already: detach it first', collection.name,
            before ->> 'schema', before ->> 'table'
        );
    ELSIF EXISTS (SELECT FROM semsearch.documents d WHERE d.collection_id = collection.id) THEN
        RETURN format('collection %L has documents of its own: attach a new one', collection.name);
    ELSIF EXISTS (SELECT FROM semsearch.spaces s WHERE s.collection_id = collection.id AND s.state = 'live' AND s.model IS NULL) THEN
        RETURN format('collection %L has no model, and a table brings no embeddings: attach one that has', collection.name);
    ELSIF NOT attachment -> 'metadata' ? collection.tenant THEN
        RETURN format('collection %L has tenants: name the column %L among the metadata, which says whose a row is',
                      collection.name, collection.tenant);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.collection_problem(semsearch.collections, jsonb) IS
    'Why a collection cannot take its documents from a table, in a sentence; NULL when it can.';
