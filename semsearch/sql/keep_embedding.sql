CREATE OR REPLACE FUNCTION semsearch.keep_embedding(collection text, query text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN;  -- it is asked for in a report, or on a replica
    END IF;
    -- Once a day is enough, and who is at it already does it for all.
    UPDATE semsearch.query_embeddings e SET created_at = now()
    FROM (
        SELECT k.fingerprint, k.hash FROM semsearch.query_embeddings k
        WHERE k.fingerprint = (semsearch.find_space(collection)).fingerprint
          AND k.hash = sha256(convert_to(query, 'UTF8')) AND k.created_at < now() - interval '1 day'
        FOR UPDATE SKIP LOCKED
    ) old
    WHERE e.fingerprint = old.fingerprint AND e.hash = old.hash;
END $$;
COMMENT ON FUNCTION semsearch.keep_embedding(text, text) IS
    'Lets the cached embedding of a query live longer because it is asked for again. CALL semsearch.embed does it.';
REVOKE ALL ON FUNCTION semsearch.keep_embedding(text, text) FROM PUBLIC;
