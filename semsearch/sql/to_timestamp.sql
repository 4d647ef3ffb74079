CREATE OR REPLACE FUNCTION semsearch.to_timestamp(value jsonb) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT SET search_path = pg_catalog
AS $function$
DECLARE
    -- day; hour; minute; second; fraction, cut to microseconds; Z, or sign, hours and minutes of the zone
    pattern CONSTANT text := '^([0-9]{4}-[0-9]{2}-[0-9]{2})'
        '(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,6})[0-9]{0,3})?)?'
        '(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?)?$';
    part text[];
    moment timestamp;
    zone interval;
BEGIN
    IF jsonb_typeof(value) <> 'string' THEN
        RETURN NULL;
    END IF;
    part := regexp_match(value #>> '{}', pattern);
    moment := semsearch.to_date(to_jsonb(part[1])) + make_time(
        coalesce(part[2], '0')::integer,
        coalesce(part[3], '0')::integer,
        (coalesce(part[4], '0') || '.' || coalesce(part[5], '0'))::double precision
    );
    zone := make_interval(hours => coalesce(part[7], '0')::integer, mins => coalesce(part[8], '0')::integer);
    IF part[6] = '-' THEN
        moment := moment + zone;
    ELSE
        moment := moment - zone;
    END IF;
    IF extract(year FROM moment) NOT BETWEEN 1 AND 9999 THEN
        RETURN NULL;
    END IF;
    RETURN moment AT TIME ZONE 'UTC';
END
$function$;

COMMENT ON FUNCTION semsearch.to_timestamp(jsonb) IS
'The moment of a JSON text in ISO 8601, such as 2024-05-01T09:30:00Z; a text without zone is UTC. NULL for anything else; never raises, whatever DateStyle and TimeZone are.';
