-- The triggers run as whoever attaches: without these rights a user's INSERT, DELETE or TRUNCATE would go unseen.
CREATE OR REPLACE FUNCTION semsearch.rights_problem(collection_id integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text[] := semsearch.missing_rights(current_user) || ARRAY(
        SELECT format('%s ON semsearch.%I', needed.privilege, 'chunks_' || s.id)
        FROM semsearch.spaces s CROSS JOIN (VALUES ('SELECT'), ('DELETE')) AS needed (privilege)
        WHERE s.collection_id = rights_problem.collection_id
          AND NOT has_table_privilege(format('semsearch.%I', 'chunks_' || s.id), needed.privilege)
        ORDER BY s.id, needed.privilege DESC
    );
BEGIN
    IF NOT has_schema_privilege('semsearch_attached', 'CREATE') THEN
        missing := missing || 'CREATE ON SCHEMA semsearch_attached'::text;
    END IF;
    IF missing = '{}' THEN
        RETURN NULL;
    END IF;
    RETURN format('role %I, as which the triggers would run, lacks rights: GRANT %s TO %I', current_user,
                  array_to_string(missing, format(' TO %I; GRANT ', current_user)), current_user);
END $$;
COMMENT ON FUNCTION semsearch.rights_problem(integer) IS
    'Which rights of semsearch''s own the current role lacks to attach a table, in a sentence; NULL when it has them.';
