CREATE OR REPLACE FUNCTION semsearch.grant_rights(part text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
    called text;
BEGIN
    IF part IS NULL THEN
        PERFORM semsearch.revoke_rights();
    END IF;
    FOR one IN
        SELECT r.privilege, r.object, 'semsearch_' || r.role AS role FROM semsearch.rights() r
        WHERE (grant_rights.part IS NULL OR r.part = grant_rights.part) AND to_regrole('semsearch_' || r.role) IS NOT NULL
    LOOP
        BEGIN
            EXECUTE format('GRANT %s ON %s TO %I', one.privilege, one.object, one.role);
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;  -- a function that another role made when it attached a table: it has granted this itself
        END;
    END LOOP;
    FOR one IN  -- whom row-level security must not hinder: who stores the chunks, and who attaches the table they are of
        SELECT c.oid::regclass AS chunks, c.oid, ARRAY(
                   SELECT format('%I', r) FROM unnest('{semsearch_worker, semsearch_admin}'::text[]) AS r
                   WHERE to_regrole(r) IS NOT NULL
               ) AS roles
        FROM semsearch.spaces s
        JOIN pg_class c ON c.relnamespace = 'semsearch'::regnamespace AND c.relname = 'chunks_' || s.id
        WHERE c.relrowsecurity AND (part IS NULL OR part = 'collection ' || s.collection_id)
    LOOP
        CONTINUE WHEN one.roles = '{}' OR EXISTS (
            SELECT FROM pg_policy p WHERE p.polrelid = one.oid AND p.polname = 'semsearch'
              AND cardinality(p.polroles) = cardinality(one.roles)
        );
        EXECUTE format('DROP POLICY IF EXISTS semsearch ON %s', one.chunks);
        EXECUTE format('CREATE POLICY semsearch ON %s TO %s USING (true) WITH CHECK (true)', one.chunks,
                       array_to_string(one.roles, ', '));
        EXECUTE format('COMMENT ON POLICY semsearch ON %s IS %L', one.chunks, 'Roles of the program see every tenant.');
    END LOOP;
    FOR one IN  -- tables that were attached before there were these roles
        SELECT k.id, k.attachment, semsearch.attached_table(k.attachment) AS source, p.proowner AS attached_by,
               pg_get_userbyid(p.proowner) AS name
        FROM semsearch.collections k
        JOIN pg_proc p ON p.proname = 'enqueue_' || k.id AND p.pronargs = 0
          AND p.pronamespace IN ('semsearch'::regnamespace, 'semsearch_attached'::regnamespace)
        WHERE part IS NULL AND k.attachment IS NOT NULL
    LOOP
        -- What the triggers call was everybody's once: who lacks it would lose changes, in silence.
        FOREACH called IN ARRAY '{"read_change(text[],text[],jsonb,jsonb)", "remove_truncated(integer,text)"}'::text[] LOOP
            called := 'semsearch.' || called;
            CONTINUE WHEN has_function_privilege(one.attached_by, called, 'EXECUTE');
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', called, one.name);
        END LOOP;
        IF NOT has_schema_privilege(one.attached_by, 'semsearch_attached', 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA semsearch_attached TO %I', one.name);
        END IF;
        -- As when it was attached, only where who did so could grant it: the row alone may be written by admins.
        IF EXISTS (SELECT FROM pg_class c WHERE c.oid = one.source AND pg_has_role(one.attached_by, c.relowner, 'USAGE')) THEN
            PERFORM semsearch.grant_source(one.id, one.source, semsearch.attachment_columns(one.attachment)
                || ARRAY(SELECT jsonb_array_elements_text(one.attachment -> 'ids')));
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION semsearch.grant_rights(text) IS
    'Gives the roles of semsearch what semsearch.rights() lists, all anew, or of one part of it; PUBLIC gets nothing. Only '
    'the owner of the schema can. Example: SELECT semsearch.grant_rights()';
