CREATE OR REPLACE FUNCTION semsearch.missing_roles() RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT format('CREATE ROLE %I NOLOGIN', role)
        FROM unnest('{semsearch_reader, semsearch_writer, semsearch_worker, semsearch_admin}'::text[])
            WITH ORDINALITY AS u (role, place)
        WHERE to_regrole(role) IS NULL ORDER BY place
    ) || ARRAY(
        SELECT format('GRANT %I TO %I', role, heir)
        FROM (VALUES ('semsearch_reader', 'semsearch_writer'), ('semsearch_writer', 'semsearch_admin')) AS u (role, heir)
        WHERE NOT EXISTS (
            SELECT FROM pg_auth_members m WHERE m.roleid = to_regrole(role) AND m.member = to_regrole(heir)
        )
        ORDER BY role
    );
END $$;
COMMENT ON FUNCTION semsearch.missing_roles() IS
    'The statements, each for a role with CREATEROLE, that make the roles of semsearch; empty when all are there. '
    'Example: SELECT unnest(semsearch.missing_roles())';
