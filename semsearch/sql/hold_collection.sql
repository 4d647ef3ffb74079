CREATE OR REPLACE FUNCTION semsearch.hold_collection(collection text) RETURNS semsearch.collections
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target semsearch.collections;
BEGIN
    PERFORM semsearch.find_space(collection);  -- which says best that there is none
    SELECT * INTO target FROM semsearch.collections c WHERE c.name = collection FOR KEY SHARE;
    IF target.id IS NULL THEN
        RAISE EXCEPTION 'collection % was dropped meanwhile', quote_literal(collection) USING ERRCODE = 'no_data_found';
    ELSIF target.attachment IS NOT NULL THEN
        RAISE EXCEPTION 'the documents of collection % come from %.%: change them there', quote_literal(collection),
            quote_ident(target.attachment ->> 'schema'), quote_ident(target.attachment ->> 'table')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN target;
END $$;
COMMENT ON FUNCTION semsearch.hold_collection(text) IS
    'A collection whose documents can be put and deleted; until the transaction ends it is neither dropped nor attached.';
