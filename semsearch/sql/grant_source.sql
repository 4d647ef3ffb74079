-- Whoever attaches a table need not be allowed to grant on it: then workers say which right they lack, by its GRANT.
-- By columns even where all go: a right to the table would leave its mark on it when it is taken back.
CREATE OR REPLACE FUNCTION semsearch.grant_source(collection_id integer, source regclass, columns text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held record;
    others jsonb[] := ARRAY(
        SELECT k.attachment FROM semsearch.collections k
        WHERE k.id <> grant_source.collection_id AND k.attachment IS NOT NULL
    );
    kept text[] := columns || ARRAY(
        SELECT unnest(semsearch.attachment_columns(o) || ARRAY(SELECT jsonb_array_elements_text(o -> 'ids')))
        FROM unnest(others) AS o WHERE semsearch.attached_table(o) = source
    );
    one record;
BEGIN
    SELECT c.relowner, n.nspname, n.nspowner INTO held
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = source;
    IF to_regrole('semsearch_worker') IS NULL OR held IS NULL THEN
        RETURN;
    END IF;
    FOR one IN
        SELECT a.attname AS name, a.attname = ANY (columns::name[]) AS is_read FROM pg_attribute a
        WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped AND pg_has_role(held.relowner, 'USAGE')
          AND has_column_privilege('semsearch_worker', source, a.attnum, 'SELECT') <> (a.attname = ANY (columns::name[]))
          -- What other collections read stays as it is, but is granted only by whoever attaches the table to them.
          AND (a.attname = ANY (columns::name[]) OR a.attname <> ALL (kept::name[]))
    LOOP
        IF one.is_read THEN
            EXECUTE format('GRANT SELECT (%I) ON %s TO semsearch_worker', one.name, source);
        ELSE
            EXECUTE format('REVOKE SELECT (%I) ON %s FROM semsearch_worker', one.name, source);
        END IF;
    END LOOP;
    IF NOT pg_has_role(held.nspowner, 'USAGE') THEN
        RETURN;
    ELSIF columns <> '{}' THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO semsearch_worker', held.nspname);
    ELSIF NOT EXISTS (SELECT FROM unnest(others) AS o WHERE o ->> 'schema' = held.nspname) THEN
        EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM semsearch_worker', held.nspname);
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.grant_source(integer, regclass, text[]) IS
    'For attach and detach: lets semsearch_worker read these columns of a table and no more, but for what it may read of it '
    'for other collections, where the current role owns the table.';
