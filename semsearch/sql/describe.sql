CREATE OR REPLACE FUNCTION semsearch.describe(relation regclass, part text, words text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
    kind text := (
        SELECT CASE t.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END
        FROM pg_class t WHERE t.oid = relation
    );
    type oid := (SELECT t.reltype FROM pg_class t WHERE t.oid = relation);
    number smallint := (SELECT a.attnum FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = part);
    before text := CASE
        WHEN part IS NOT NULL THEN col_description(relation, number)
        WHEN kind = 'TYPE' THEN obj_description(type, 'pg_type')
        ELSE obj_description(relation, 'pg_class')
    END;
BEGIN
    -- An upgrade that has nothing to say takes no lock.
    IF words IS NULL OR words = before OR (part IS NOT NULL AND number IS NULL)
        OR current_setting('semsearch.undescribed', true) = relation::oid::text  -- and its columns need not be waited for
    THEN
        RETURN;
    ELSIF part IS NOT NULL THEN
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', relation, part, words);
    ELSE
        EXECUTE format('COMMENT ON %s %s IS %L', kind, relation, words);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        NULL;  -- made by another role: it goes without
    WHEN lock_not_available THEN  -- being indexed just now: it goes without, in this transaction
        PERFORM set_config('semsearch.undescribed', relation::oid::text, true);
END $$;
COMMENT ON FUNCTION semsearch.describe(regclass, text, text) IS
    'Gives a relation of semsearch''s own, or one of its columns, its comment, unless it has it already.';
