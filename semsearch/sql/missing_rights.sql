CREATE OR REPLACE FUNCTION semsearch.missing_rights(role name) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    called regprocedure[] := '{"semsearch.remove_truncated(integer,text)", "semsearch.read_change(text[],text[],jsonb,jsonb)"}';
BEGIN
    RETURN ARRAY(
        SELECT needed.privilege || ' ON ' || needed.object
        FROM (
            SELECT 1 AS place, 'USAGE' AS privilege, format('SCHEMA %s', name) AS object,
                   has_schema_privilege(role, name, 'USAGE') AS held
            FROM unnest('{semsearch,semsearch_attached}'::text[]) AS name
            UNION ALL
            SELECT 2, privilege, 'semsearch.' || name, has_table_privilege(role, 'semsearch.' || name, privilege)
            FROM (VALUES ('tasks', 'SELECT'), ('tasks', 'INSERT'), ('spaces', 'SELECT'), ('failures', 'SELECT'))
                AS t (name, privilege)
            UNION ALL
            SELECT 3, 'USAGE', 'SEQUENCE semsearch.task_version',
                   has_sequence_privilege(role, 'semsearch.task_version', 'USAGE')
            UNION ALL
            SELECT 4, 'EXECUTE', format('FUNCTION %s', f), has_function_privilege(role, f, 'EXECUTE')
            FROM unnest(called) AS f
        ) AS needed
        WHERE NOT needed.held
        ORDER BY needed.place, needed.object, needed.privilege DESC
    );
END $$;
COMMENT ON FUNCTION semsearch.missing_rights(name) IS
    'Which rights of semsearch''s own a role lacks, as which the triggers of an attached table run.';
