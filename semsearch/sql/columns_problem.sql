CREATE OR REPLACE FUNCTION semsearch.columns_problem(source regclass, ids text[], columns text[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    there text[] := ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = source AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    );
    wrong text;
    uniques text[];
BEGIN
    IF array_position(ids || columns, NULL) IS NOT NULL THEN
        RETURN format('a name of a column is NULL: name columns of %s, which has %s', source, array_to_string(there, ', '));
    END IF;
    SELECT c INTO wrong FROM unnest(ids || columns) AS c WHERE c <> ALL (there) LIMIT 1;
    IF wrong IS NOT NULL THEN
        RETURN format('%s has no column %I: it has %s', source, wrong, array_to_string(there, ', '));
    END IF;
    SELECT c INTO wrong FROM unnest(ids || columns) AS c WHERE NOT has_column_privilege(source, c, 'SELECT') LIMIT 1;
    IF wrong IS NOT NULL THEN
        RETURN format('role %I may not read column %I of %s: GRANT SELECT (%I) ON %s TO %I', current_user, wrong, source,
                      wrong, source, current_user);
    END IF;
    SELECT c INTO wrong FROM unnest(ids) AS c WHERE semsearch.key_type(source, c) IS NULL LIMIT 1;
    IF wrong IS NOT NULL THEN
        RETURN format(
            'column %I of %s cannot identify documents: that takes smallint, integer, bigint, uuid, text or varchar',
            wrong, source
        );
    END IF;
    SELECT a.attname INTO wrong
    FROM pg_attribute a WHERE a.attrelid = source AND a.attname = ANY (ids) AND NOT a.attnotnull LIMIT 1;
    IF wrong IS NOT NULL THEN
        RETURN format('column %I of %s may be null and so cannot identify documents: make it NOT NULL', wrong, source);
    END IF;
    uniques := ARRAY(
        SELECT array_to_string(ARRAY(
            SELECT a.attname::text
            FROM generate_series(0, i.indnkeyatts - 1) AS place
            JOIN pg_attribute a ON a.attrelid = source AND a.attnum = i.indkey[place]
            ORDER BY place
        ), ', ')
        FROM pg_index i
        WHERE i.indrelid = source AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
        ORDER BY i.indisprimary DESC, i.indexrelid
    );
    IF array_to_string(ids, ', ') <> ALL (uniques) THEN
        RETURN format('%s (%s) is not unique, so it cannot identify documents', source, array_to_string(ids, ', '))
            || CASE WHEN cardinality(uniques) > 0
                    THEN format(': in this order there are (%s)', array_to_string(uniques, '), ('))
                    ELSE ': add a primary key' END;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION semsearch.columns_problem(regclass, text[], text[]) IS
    'Why columns of a table cannot be the key and the rest of documents, in a sentence; NULL when they can.';
