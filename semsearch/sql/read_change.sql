CREATE OR REPLACE FUNCTION semsearch.read_change(
    ids text[], columns text[], before jsonb, after jsonb, OUT gone text, OUT present text, OUT changed boolean
)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys jsonb[] := ARRAY[before, after];
    found text[] := ARRAY[NULL, NULL]::text[];
    id text;
BEGIN
    FOR side IN 1..2 LOOP
        CONTINUE WHEN keys[side] IS NULL OR NOT keys[side] ?& ids;
        id := CASE
            WHEN cardinality(ids) = 1 THEN keys[side] ->> ids[1]
            ELSE (SELECT jsonb_agg(keys[side] ->> name ORDER BY place)::text
                  FROM unnest(ids) WITH ORDINALITY AS u (name, place))
        END;
        IF octet_length(id) BETWEEN 1 AND 1024 THEN
            found[side] := id;
        END IF;
    END LOOP;
    gone := found[1];
    present := found[2];
    changed := before IS NULL OR after IS NULL
        OR EXISTS (SELECT FROM unnest(columns) AS c WHERE before ->> c IS DISTINCT FROM after ->> c)
        OR CASE WHEN after ?& columns THEN false END;
END $$;
COMMENT ON FUNCTION semsearch.read_change(text[], text[], jsonb, jsonb) IS
    'For triggers: which document a changed row was and is, read from rows whose columns may be others than expected. '
    'changed is NULL when one of the columns is not there.';
