CREATE OR REPLACE FUNCTION semsearch.primary_key(source regclass) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT array_agg(a.attname::text ORDER BY place)
        FROM pg_index i
        CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS place
        JOIN pg_attribute a ON a.attrelid = source AND a.attnum = i.indkey[place]
        WHERE i.indrelid = source AND i.indisprimary
    );
END $$;
COMMENT ON FUNCTION semsearch.primary_key(regclass) IS
    'The columns of a table''s primary key in their order; NULL when it has none.';
