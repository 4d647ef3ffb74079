-- The rules of cleaning.py and fields.py, but for what PostgreSQL cannot hold anyway.
CREATE OR REPLACE FUNCTION semsearch.document_problem(
    collection semsearch.collections, id text, text text, metadata jsonb, title text
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    json text := metadata::text;
    field record;
BEGIN
    IF id IS NULL OR octet_length(id) NOT BETWEEN 1 AND 1024 THEN
        RETURN 'a document id is text of 1 to 1024 bytes';
    ELSIF text IS NULL THEN
        RETURN 'its text is NULL';
    ELSIF octet_length(text) > 20971520 THEN
        RETURN 'its text is longer than 20 MB: split it';
    ELSIF char_length(title) > 1000 THEN
        RETURN 'its title is longer than 1,000 characters: shorten it';
    ELSIF jsonb_typeof(metadata) IS DISTINCT FROM 'object' THEN
        RETURN format('its metadata is no JSON object but %s', coalesce(jsonb_typeof(metadata), 'NULL'));
    END IF;
    IF octet_length(json) > 10922 THEN  -- as ASCII a byte becomes six at most
        json := regexp_replace(json, '[\U00010000-\U0010FFFF]', '            ', 'g');
        json := regexp_replace(json, '[\u007F-\uFFFF]', '      ', 'g');
    END IF;
    IF length(json) > 65536 THEN
        RETURN format('its metadata has %s bytes as JSON; at most 65536 are kept', length(json));
    ELSIF jsonb_path_exists(metadata, 'strict $.**{17}') THEN
        RETURN 'its metadata is nested more than 16 levels deep';
    ELSIF jsonb_path_exists(metadata, 'strict $.** ? (@.type() == "number" && (@ >= 1e4300 || @ <= -1e4300))') THEN
        RETURN 'its metadata holds a number of more than 4,300 digits';
    END IF;
    FOR field IN
        SELECT f ->> 'name' AS name, f ->> 'type' AS type, metadata -> (f ->> 'name') AS value
        FROM jsonb_array_elements(collection.fields) AS f
        WHERE jsonb_typeof(metadata -> (f ->> 'name')) <> 'null'
    LOOP
        IF NOT semsearch.fits_field(field.value, field.type) THEN
            RETURN format('field %L is of type %s; got %s', field.name, field.type, left(field.value::text, 80));
        END IF;
    END LOOP;
    IF collection.tenant IS NOT NULL AND coalesce(metadata ->> collection.tenant, '') = '' THEN
        RETURN format('it does not say whose it is: its metadata names a tenant as %L', collection.tenant);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.document_problem(semsearch.collections, text, text, jsonb, text) IS
    'Why a document cannot be put into a collection, in a sentence; NULL when it can.';
