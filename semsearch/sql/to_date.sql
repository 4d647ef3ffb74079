CREATE OR REPLACE FUNCTION semsearch.to_date(value jsonb) RETURNS date
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT SET search_path = pg_catalog
AS $function$
DECLARE
    part integer[];
    last_day date;
BEGIN
    IF jsonb_typeof(value) <> 'string' THEN
        RETURN NULL;
    END IF;
    part := regexp_match(value #>> '{}', '^([0-9]{4})-([0-9]{2})-([0-9]{2})$')::integer[];
    IF part IS NULL OR part[1] < 1 OR part[2] NOT BETWEEN 1 AND 12 THEN
        RETURN NULL;
    END IF;
    -- Computed rather than caught: an EXCEPTION block needs a subtransaction, which PostgreSQL before 17 refuses in
    -- a parallel query.
    last_day := make_date(part[1] + part[2] / 12, mod(part[2], 12) + 1, 1) - 1;
    IF part[3] NOT BETWEEN 1 AND extract(day FROM last_day) THEN
        RETURN NULL;
    END IF;
    RETURN make_date(part[1], part[2], part[3]);
END
$function$;

COMMENT ON FUNCTION semsearch.to_date(jsonb) IS
'The date of a JSON text YYYY-MM-DD. NULL for anything else; never raises, whatever DateStyle is.';
