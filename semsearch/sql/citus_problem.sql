CREATE OR REPLACE FUNCTION semsearch.citus_problem(source regclass, ids text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    distribution text;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE 'SELECT column_to_column_name(logicalrelid, partkey) FROM pg_dist_partition
             WHERE logicalrelid = $1 AND partkey IS NOT NULL'
    INTO distribution USING source;
    -- Tasks lie on the node of the row that wrote them only where both are distributed by one and the same text.
    IF distribution IS NOT NULL AND (ids <> ARRAY[distribution] OR semsearch.key_type(source, distribution) <> 'text') THEN
        RETURN format('%s is distributed by %I: only a table distributed by its key of type text can be attached', source, distribution);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.citus_problem(regclass, text[]) IS
    'Why a table that Citus distributes cannot be attached, in a sentence; NULL for any other table.';
