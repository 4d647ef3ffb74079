CREATE OR REPLACE FUNCTION semsearch.check_source(
    source regclass, text text[], id text[] DEFAULT NULL, title text DEFAULT NULL, metadata text[] DEFAULT '{}'
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids text[] := coalesce(id, semsearch.primary_key(source));
    others text[];
    doubled text;
    problem text := CASE
        WHEN source IS NULL THEN 'name the table to attach'
        WHEN coalesce(cardinality(text), 0) = 0 THEN 'name at least one column of text to embed'
        WHEN cardinality(metadata) > 50 THEN 'at most 50 columns can be metadata'
        WHEN greatest(array_ndims(text), array_ndims(id), array_ndims(metadata)) > 1
            THEN 'columns are named in lists of one dimension, such as ARRAY[''title'', ''body'']'
        ELSE semsearch.relation_problem(source)
    END;
BEGIN
    IF problem IS NULL THEN
        others := text || metadata || array_remove(ARRAY[title], NULL);
        SELECT name INTO doubled FROM (
            SELECT name FROM unnest(text) AS name GROUP BY name HAVING count(*) > 1
            UNION ALL SELECT name FROM unnest(metadata) AS name GROUP BY name HAVING count(*) > 1
        ) AS twice LIMIT 1;
        problem := CASE
            WHEN ids IS NULL THEN format('%s has no primary key: add one, or name the columns of a unique key', source)
            WHEN doubled IS NOT NULL THEN format('column %I is named twice: name it once', doubled)
            ELSE coalesce(semsearch.columns_problem(source, ids, others), semsearch.citus_problem(source, ids))
        END;
    END IF;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT has_table_privilege(source, 'UPDATE') OR NOT has_table_privilege(source, 'TRIGGER') THEN
        RAISE EXCEPTION 'role % must lock rows of % and put triggers on it: GRANT SELECT, UPDATE, TRIGGER ON % TO %',
            quote_ident(current_user), source, source, quote_ident(current_user)
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'schema', n.nspname, 'table', t.relname, 'ids', ids,
            'id_types', ARRAY(SELECT semsearch.key_type(source, part) FROM unnest(ids) WITH ORDINALITY AS u (part, place)
                              ORDER BY place),
            'texts', text, 'title', title, 'metadata', coalesce(metadata, '{}')
        )
        FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE t.oid = source
    );
END $$;
COMMENT ON FUNCTION semsearch.check_source(regclass, text[], text[], text, text[]) IS
    'Raises, in a sentence, what keeps a table from being attached so; else returns what is kept of the attachment.';
