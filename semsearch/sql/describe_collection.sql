CREATE OR REPLACE FUNCTION semsearch.describe_collection(collection_id integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    collection semsearch.collections;
    space record;
    shown regclass;
    ours text := 'Chunks of the collection. ';
BEGIN
    SELECT * INTO collection FROM semsearch.collections c WHERE c.id = collection_id;
    IF collection.id IS NULL THEN
        RETURN;
    END IF;
    shown := to_regclass(format('collections.%I', collection.name));
    FOR space IN SELECT s.distance, to_regclass('semsearch.chunks_' || s.id) AS chunks
                 FROM semsearch.spaces s WHERE s.collection_id = describe_collection.collection_id
    LOOP
        CONTINUE WHEN space.chunks IS NULL;
        PERFORM semsearch.describe(space.chunks, NULL, format('Chunks and embeddings of the collection %s.', collection.name));
        PERFORM semsearch.describe(relation, d.part, d.words)
        FROM unnest(array_remove(ARRAY[space.chunks, shown], NULL)) AS relation
        CROSS JOIN (VALUES
            ('document_id', 'The document that the chunk is a piece of.'),
            ('ordinal', 'The place of the chunk in its document: 0, 1, 2 ...'),
            ('start', 'Where the chunk begins in the document''s text: characters before it.'),
            ('end', 'Where the chunk ends in the document''s text: characters before its end.'),
            ('hash', 'SHA-256 of what was embedded and by what: a chunk that is the same keeps its embedding.'),
            ('heading', 'The title and headings that the chunk stands under, embedded along with it.'),
            ('embedding', 'The embedding of the chunk by the collection''s model, or the one it came with.'),
            ('text', 'The text of the chunk.'),
            ('metadata', 'The metadata of the document, for filters.'),
            ('terms', 'The words of heading and text, for full text search.')
        ) AS d (part, words);
        PERFORM semsearch.describe(space.chunks, 'field_' || (f ->> 'number'), format('The declared field %s, from the metadata.', f ->> 'name'))
        FROM jsonb_array_elements(collection.fields) AS f WHERE f ? 'name';
    END LOOP;
    IF shown IS NOT NULL THEN
        IF coalesce(obj_description(shown, 'pg_class'), ours) LIKE ours || '%' THEN  -- or the user's own
            PERFORM semsearch.describe(shown, NULL, ours || format(
                'Nearest first: ORDER BY embedding %s $1 LIMIT 10',
                (SELECT CASE s.distance
                    WHEN 'l2' THEN '<->' WHEN 'cosine' THEN '<=>' WHEN 'inner_product' THEN '<#>' ELSE '<+>' END
                 FROM semsearch.spaces s WHERE s.collection_id = collection.id AND s.state = 'live')
            ));
        END IF;
        PERFORM semsearch.describe(shown, f ->> 'name', format('The declared field %s, from the metadata.', f ->> 'name'))
        FROM jsonb_array_elements(collection.fields) AS f WHERE f ? 'name';
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.describe_collection(integer) IS
    'Gives the chunks of a collection, its view and the columns of both their comments.';
