-- Crosses a role, so that a mere reader may ask. What is asked lies in a table of its own, which nobody else reads.
CREATE OR REPLACE FUNCTION semsearch.request_embedding(collection text, query text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record := semsearch.find_space(collection);
BEGIN
    IF semsearch.query_embedding(collection, query) IS NOT NULL THEN
        RETURN;
    ELSIF current_setting('transaction_read_only') = 'on' THEN
        RAISE EXCEPTION 'nothing can be asked here: the database is read-only' USING
            ERRCODE = 'read_only_sql_transaction', HINT = 'CALL semsearch.embed on the primary server.';
    ELSIF (SELECT count(*) >= 1000 OR count(*) FILTER (WHERE r.requested_by = session_user) >= 200
           FROM semsearch.embed_requests r) THEN  -- nobody can fill it for all others
        RAISE EXCEPTION 'too many texts wait for their embeddings' USING
            ERRCODE = 'configuration_limit_exceeded', HINT = 'Ask again a little later.';
    END IF;
    -- A problem was somebody else's, who has gone before he was told: this is another try.
    INSERT INTO semsearch.embed_requests AS r (collection_id, hash, query)
    VALUES (target.collection_id, sha256(convert_to(query, 'UTF8')), query)
    ON CONFLICT (collection_id, hash) DO UPDATE
    SET problem = NULL, claimed_at = NULL, requested_at = excluded.requested_at
    WHERE r.problem IS NOT NULL;
    PERFORM pg_notify('semsearch_embed', '');
END $$;
COMMENT ON FUNCTION semsearch.request_embedding(text, text) IS
    'Asks whoever answers (`semsearch worker`, `semsearch serve`) for the embedding of a query, once the transaction is '
    'committed. CALL semsearch.embed does that and waits. Does nothing when it is cached already.';
REVOKE ALL ON FUNCTION semsearch.request_embedding(text, text) FROM PUBLIC;
