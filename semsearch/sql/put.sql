-- Crosses a role: a writer puts documents without rights to any table.
CREATE OR REPLACE FUNCTION semsearch.put(
    collection text,
    id text,
    text text,
    metadata jsonb DEFAULT '{}',
    title text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target semsearch.collections := semsearch.hold_collection(collection);
    problem text := semsearch.document_problem(target, id, text, metadata, title);
BEGIN
    IF (semsearch.find_space(collection)).model IS NULL THEN
        problem := format('collection %L has no model, so every document must bring its embedding, as Python can', collection);
    ELSIF problem IS NOT NULL THEN
        problem := format('document %s: %s', quote_nullable(left(id, 80)), problem);
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
    ELSIF target.tenant IS NOT NULL AND NOT semsearch.was_granted_tenant(target.id, metadata ->> target.tenant) THEN
        RAISE EXCEPTION 'document %: you were not granted the tenant it names as %', quote_literal(left(id, 80)),
            quote_literal(target.tenant) USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO semsearch.documents AS d (collection_id, id, title, text, metadata)
    VALUES (target.id, put.id, nullif(put.title, ''), put.text, put.metadata)
    ON CONFLICT ON CONSTRAINT documents_pkey DO UPDATE
    SET title = excluded.title, text = excluded.text, format = excluded.format, metadata = excluded.metadata,
        source = excluded.source, updated_at = excluded.updated_at
    WHERE (d.title, d.text, d.format, d.metadata, d.source)
        IS DISTINCT FROM (excluded.title, excluded.text, excluded.format, excluded.metadata, excluded.source)
        AND (target.tenant IS NULL OR d.metadata -> target.tenant = excluded.metadata -> target.tenant);
    -- Left as it was because it is another tenant's; ON CONFLICT has locked it all the same.
    IF target.tenant IS NOT NULL AND EXISTS (
        SELECT FROM semsearch.documents d
        WHERE d.collection_id = target.id AND d.id = put.id
          AND d.metadata -> target.tenant IS DISTINCT FROM put.metadata -> target.tenant
    ) THEN
        RAISE EXCEPTION 'document % is another tenant''s: delete it first, or put the tenant''s name into the ids',
            quote_literal(left(id, 80)) USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.put(text, text, text, jsonb, text) IS
    'Insert or replace a document; a worker makes it searchable once the transaction is committed. collection: its name, '
    'not one that a table is attached to; id: yours, at most 1024 bytes; text: at most 20 MB; metadata: a JSON object of at '
    'most 64 kB, in which declared fields have their types and a collection with tenants finds the tenant; title: at most '
    '1,000 characters, embedded along with every chunk. A document that is the same costs nothing. '
    'Example: SELECT semsearch.put(''handbook'', ''a1'', ''To reset your password, ...'', ''{"year": 2024}'')';
REVOKE ALL ON FUNCTION semsearch.put(text, text, text, jsonb, text) FROM PUBLIC;
