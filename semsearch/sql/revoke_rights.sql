CREATE OR REPLACE FUNCTION semsearch.revoke_rights() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        WITH held AS (
            SELECT 'SCHEMA ' || n.oid::regnamespace AS object, n.nspacl AS acl, n.nspowner AS owner
            FROM pg_namespace n WHERE n.nspname IN ('semsearch', 'semsearch_attached', 'collections')
            UNION ALL
            SELECT format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass),
                   -- A right to a column goes with those to its table.
                   coalesce(c.relacl, '{}') || ARRAY(
                       SELECT unnest(a.attacl) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL
                   ), c.relowner
            FROM pg_class c
            WHERE c.relnamespace IN ('semsearch'::regnamespace, 'collections'::regnamespace)
              AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION ALL
            -- Functions are everybody's unless that is taken back: no list of rights says so.
            SELECT format('%s %s', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure),
                   coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
            FROM pg_proc p
            WHERE p.pronamespace IN (
                'semsearch'::regnamespace, 'semsearch_attached'::regnamespace, 'collections'::regnamespace
            )
            UNION ALL  -- and so are types
            SELECT 'TYPE ' || t.oid::regtype, coalesce(t.typacl, acldefault('T', t.typowner)), t.typowner
            FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
            WHERE t.typnamespace = 'semsearch'::regnamespace
        )
        SELECT DISTINCT h.object, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM held h CROSS JOIN aclexplode(nullif(h.acl, '{}')) a
        WHERE pg_has_role(h.owner, 'USAGE') AND (a.grantee = 0 OR a.grantee IN (
            to_regrole('semsearch_reader'), to_regrole('semsearch_writer'), to_regrole('semsearch_worker'),
            to_regrole('semsearch_admin')
        ))
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', one.object, one.grantee);
    END LOOP;
END $$;
COMMENT ON FUNCTION semsearch.revoke_rights() IS
    'Takes every right to objects of semsearch from PUBLIC and the roles of semsearch; what others were granted stays. '
    'Example: SELECT semsearch.revoke_rights()';
