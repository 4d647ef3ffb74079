-- The triggers run as whoever attaches: without these rights the user's own INSERT, DELETE or TRUNCATE would fail.
CREATE OR REPLACE FUNCTION semsearch.rights_problem(collection_id integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    called regprocedure[] := '{"semsearch.remove_truncated(integer,text)", "semsearch.read_change(text[],text[],jsonb,jsonb)"}';
    needed_function regprocedure;
    missing text[] := ARRAY(
        SELECT format('%s ON semsearch.%I', needed.privilege, needed.name)
        FROM (
            SELECT 1 AS place, 'tasks' AS name, unnest('{SELECT,INSERT}'::text[]) AS privilege
            UNION ALL SELECT 2, unnest('{spaces,failures}'::text[]), 'SELECT'
            UNION ALL SELECT 3, 'chunks_' || s.id, unnest('{SELECT,DELETE}'::text[])
            FROM semsearch.spaces s WHERE s.collection_id = rights_problem.collection_id
        ) AS needed
        WHERE NOT has_table_privilege(format('semsearch.%I', needed.name), needed.privilege)
        ORDER BY needed.place, needed.name, needed.privilege DESC
    );
BEGIN
    IF NOT has_sequence_privilege('semsearch.task_version', 'USAGE') THEN
        missing := missing || 'USAGE ON SEQUENCE semsearch.task_version'::text;
    END IF;
    IF NOT has_schema_privilege('semsearch_attached', 'CREATE') OR NOT has_schema_privilege('semsearch_attached', 'USAGE')
    THEN
        missing := missing || 'CREATE, USAGE ON SCHEMA semsearch_attached'::text;
    END IF;
    FOREACH needed_function IN ARRAY called LOOP
        IF NOT has_function_privilege(needed_function, 'EXECUTE') THEN
            missing := missing || format('EXECUTE ON FUNCTION %s', needed_function);
        END IF;
    END LOOP;
    IF missing = '{}' THEN
        RETURN NULL;
    END IF;
    RETURN format('role %I, as which the triggers would run, lacks rights: GRANT %s TO %I', current_user,
                  array_to_string(missing, format(' TO %I; GRANT ', current_user)), current_user);
END $$;
COMMENT ON FUNCTION semsearch.rights_problem(integer) IS
    'Which rights of semsearch''s own the current role lacks to attach a table, in a sentence; NULL when it has them.';
