-- Roles belong to the whole server, and the databases of one may be migrated at once: whoever comes second finds them.
CREATE OR REPLACE FUNCTION semsearch.create_roles() RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    IF NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        RETURN semsearch.missing_roles();
    END IF;
    FOREACH statement IN ARRAY semsearch.missing_roles() LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION WHEN duplicate_object OR unique_violation OR undefined_object OR insufficient_privilege THEN
            -- The last: from PostgreSQL 16 on a role is granted by whoever has made it, which may be somebody else.
            NULL;
        END;
    END LOOP;
    RETURN semsearch.missing_roles();
END $$;
COMMENT ON FUNCTION semsearch.create_roles() IS
    'Makes the roles semsearch_reader, semsearch_writer (in reader), semsearch_worker and semsearch_admin (in writer) if the '
    'current role may; returns the statements that a role with CREATEROLE must run instead. SELECT semsearch.grant_rights() '
    'gives them their rights. Example: SELECT unnest(semsearch.create_roles())';
