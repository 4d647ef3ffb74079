CREATE OR REPLACE FUNCTION semsearch.fits_field(value jsonb, type text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind text := jsonb_typeof(value);
    number numeric;
BEGIN
    IF kind = 'number' THEN
        number := value::numeric;
    END IF;
    RETURN CASE type
        WHEN 'text' THEN kind = 'string' AND octet_length(value #>> '{}') <= 1024
        WHEN 'boolean' THEN kind = 'boolean'
        WHEN 'date' THEN semsearch.to_date(value) IS NOT NULL
        WHEN 'timestamp' THEN semsearch.to_timestamp(value) IS NOT NULL
        WHEN 'integer' THEN
            coalesce(number = trunc(number) AND number BETWEEN -9223372036854775808 AND 9223372036854775807, false)
        ELSE coalesce(abs(number) <= 1.7976931348623158e308, false)
    END;
END $$;
COMMENT ON FUNCTION semsearch.fits_field(jsonb, text) IS
    'Whether a value of the metadata fits a declared field of that type: text, integer, float, boolean, date, timestamp.';
