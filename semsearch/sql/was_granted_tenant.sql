-- Called by functions of the owner's, where current_user is the owner. The setting "role" is what SET ROLE has set, in
-- which no function and no user can pretend: who may set it, is a member. Without SET ROLE it is "none". So within a
-- SECURITY DEFINER function of somebody's own, it is still whoever called that who must have been granted the tenant.
CREATE OR REPLACE FUNCTION semsearch.was_granted_tenant(collection_id integer, tenant text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    caller oid := (
        SELECT r.oid FROM pg_roles r
        WHERE r.rolname = CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END
    );
    prefix text := 'tenant_' || left(encode(sha256(convert_to(tenant, 'UTF8')), 'hex'), 32) || '_';
BEGIN
    RETURN EXISTS (
        SELECT FROM semsearch.spaces s
        JOIN pg_class t ON t.oid = to_regclass('semsearch.chunks_' || s.id)
        JOIN pg_roles r ON r.oid = caller
        WHERE s.collection_id = was_granted_tenant.collection_id AND s.state = 'live'
          AND (r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, t.relowner, 'USAGE') OR EXISTS (
              SELECT FROM pg_policy p CROSS JOIN unnest(p.polroles) AS granted (role)
              WHERE p.polrelid = t.oid
                AND (CASE WHEN tenant IS NULL THEN p.polname = 'semsearch' ELSE starts_with(p.polname, prefix) END)
                AND granted.role <> 0 AND pg_has_role(r.oid, granted.role, 'USAGE')
          ))
    );
END $$;
COMMENT ON FUNCTION semsearch.was_granted_tenant(integer, text) IS
    'Whether whoever is connected may put and delete this tenant''s documents: the owner of the chunks and his members may, '
    'and roles that were granted the tenant. tenant NULL: whether they may see every tenant''s, as workers and admins do.';
