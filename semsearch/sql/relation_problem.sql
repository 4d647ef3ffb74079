CREATE OR REPLACE FUNCTION semsearch.relation_problem(source regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation pg_class;
BEGIN
    SELECT * INTO relation FROM pg_class WHERE oid = source;
    CASE
        WHEN relation.relkind IN ('v', 'm') THEN
            RETURN format('%s is a view, which no trigger can watch: attach the table behind it', source);
        WHEN relation.relkind = 'f' THEN
            RETURN format('%s is a foreign table, whose changes cannot be seen from here: attach it where it lives', source);
        WHEN relation.relkind NOT IN ('r', 'p') THEN
            RETURN format('%s is not a table', source);
        WHEN relation.relpersistence = 't' THEN
            RETURN format('%s is a temporary table, which no worker can see: attach a lasting one', source);
        WHEN relation.relnamespace::regnamespace::text IN ('pg_catalog', 'information_schema', 'semsearch') THEN
            RETURN format('%s is a table of the system: attach one of your own', source);
        WHEN relation.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = source) THEN
            RETURN format('%s has child tables by inheritance, whose changes do not fire its triggers: use partitions', source);
        WHEN NOT has_schema_privilege(relation.relnamespace, 'USAGE') THEN
            RETURN format(
                'role %I may not use the schema of %s: GRANT USAGE ON SCHEMA %I TO %I', current_user, source,
                (SELECT nspname FROM pg_namespace WHERE oid = relation.relnamespace), current_user
            );
        WHEN NOT has_any_column_privilege(source, 'SELECT') THEN
            RETURN format('role %I may not read %s: GRANT SELECT ON %s TO %I', current_user, source, source, current_user);
        WHEN row_security_active(source) THEN
            RETURN format(
                'row-level security of %s hides rows from role %I: use its owner, or a role with BYPASSRLS', source,
                current_user
            );
        ELSE
            RETURN NULL;
    END CASE;
END $$;
COMMENT ON FUNCTION semsearch.relation_problem(regclass) IS
    'Why a table cannot be the source of a collection for the current role, in a sentence; NULL when it can.';
