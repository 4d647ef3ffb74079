CREATE OR REPLACE FUNCTION semsearch.attachment_problem(collection_id integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    attachment jsonb;
    full_name text;
    source regclass;
    ids text[];
    columns text[];
    watched regclass;
    lock regprocedure := (  -- as lock_documents calls it
        SELECT p.oid FROM pg_proc p
        WHERE p.oid = to_regprocedure(format('semsearch_attached.lock_%s(text[])', collection_id)) AND p.prosecdef
          AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}'
    );
    definer name;
    missing text[];
    problem text;
BEGIN
    SELECT c.attachment INTO attachment FROM semsearch.collections c WHERE c.id = collection_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the collection has been dropped: create it anew, or open another one'
            USING ERRCODE = 'no_data_found';
    ELSIF attachment IS NULL THEN
        RETURN NULL;
    END IF;
    full_name := format('%I.%I', attachment ->> 'schema', attachment ->> 'table');
    source := semsearch.attached_table(attachment);
    ids := ARRAY(SELECT jsonb_array_elements_text(attachment -> 'ids'));
    columns := semsearch.attachment_columns(attachment);
    watched := (
        SELECT t.tgrelid FROM pg_trigger t
        WHERE t.tgfoid = to_regprocedure(format('semsearch_attached.enqueue_%s()', collection_id)) AND t.tgparentid = 0
        ORDER BY t.tgrelid <> source LIMIT 1
    );
    IF source IS NULL AND watched IS NOT NULL THEN
        RETURN format('%s is called %s now: give it its name back, or detach it and attach it anew', full_name, watched);
    ELSIF source IS NULL THEN
        RETURN format('%s does not exist any more: bring it back and attach it again, or detach the collection', full_name);
    END IF;
    problem := coalesce(semsearch.relation_problem(source), semsearch.columns_problem(source, ids, columns));
    IF problem IS NOT NULL AND has_schema_privilege(attachment ->> 'schema', 'USAGE')
        AND NOT has_any_column_privilege(source, 'SELECT')
    THEN  -- no more than is read, unlike for whoever attaches
        RETURN format(
            'role %1$I may not read %2$s: GRANT SELECT (%3$s) ON %2$s TO %1$I', current_user, full_name,
            (SELECT string_agg(format('%I', name), ', ' ORDER BY name) FROM unnest(ids || columns) AS name)
        );
    END IF;
    IF problem IS NOT NULL THEN
        RETURN problem;
    ELSIF watched IS DISTINCT FROM source THEN
        RETURN format('%s has lost its triggers, as a table that was replaced has: attach it again', full_name);
    END IF;
    definer := (
        SELECT pg_get_userbyid(p.proowner) FROM pg_proc p
        WHERE p.oid = to_regprocedure(format('semsearch_attached.enqueue_%s()', collection_id))
    );
    missing := semsearch.missing_rights(definer);
    IF NOT has_schema_privilege(definer, attachment ->> 'schema', 'USAGE') THEN
        missing := missing || format('USAGE ON SCHEMA %I', attachment ->> 'schema');
    END IF;
    -- What lock_N needs: to lock a row takes the right to update something in it.
    missing := missing || ARRAY(
        SELECT format('SELECT (%I) ON %s', id, full_name) FROM unnest(ids) AS id
        WHERE NOT has_column_privilege(definer, source, id, 'SELECT')
    );
    IF NOT has_any_column_privilege(definer, source, 'UPDATE') THEN
        missing := missing || format('UPDATE ON %s', full_name);
    END IF;
    IF missing <> '{}' THEN
        RETURN format(
            'role %1$I, which attached %2$s and as which its triggers run, lacks rights: GRANT %3$s TO %1$I',
            definer, full_name, array_to_string(missing, format(' TO %I; GRANT ', definer))
        );
    ELSIF ARRAY(SELECT semsearch.key_type(source, id) FROM unnest(ids) WITH ORDINALITY AS u (id, place) ORDER BY place)
            <> ARRAY(SELECT jsonb_array_elements_text(attachment -> 'id_types')) THEN
        RETURN format('the key of %s is of another type now: attach it again', full_name);
    ELSIF lock IS NULL THEN
        RETURN format('%s has lost its functions: attach it again', full_name);
    ELSIF NOT has_function_privilege(lock, 'EXECUTE') THEN
        RETURN format(
            'role %I may not lock documents of %s: GRANT EXECUTE ON FUNCTION semsearch_attached.lock_%s(text[]) TO %I',
            current_user, full_name, collection_id, current_user
        );
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.attachment_problem(integer) IS
    'Why the table attached to a collection cannot be read as it was attached, in a sentence; NULL when it can, and '
    'where none is attached. Raises no_data_found for a collection that was dropped.';
