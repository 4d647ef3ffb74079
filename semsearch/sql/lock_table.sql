-- Whoever waits for a strong lock stops all who come after him: so never for long, with pauses in between.
CREATE OR REPLACE FUNCTION semsearch.lock_table(source regclass, mode text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
BEGIN
    FOR attempt IN 1..20 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %s IN %s MODE', source, mode);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(0.2 + 0.2 * random());
        END;
    END LOOP;
    RAISE EXCEPTION '% is in use by a transaction that does not end: try again when it has', source
        USING ERRCODE = 'object_in_use';
END $$;
COMMENT ON FUNCTION semsearch.lock_table(regclass, text) IS
    'Locks a table without holding up those who use it for more than 200 ms at a time; gives up after about ten seconds.';
