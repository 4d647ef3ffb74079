CREATE OR REPLACE FUNCTION semsearch.embedding_state(collection text, query text, OUT state text, OUT problem text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target record := semsearch.find_space(collection);
    key bytea := sha256(convert_to(query, 'UTF8'));
BEGIN
    -- The answer is looked for last: it is written when the request is deleted.
    SELECT r.problem INTO problem FROM semsearch.embed_requests r
    WHERE r.collection_id = target.collection_id AND r.hash = key;
    state := CASE
        WHEN problem IS NOT NULL THEN 'failed'
        WHEN EXISTS (
            SELECT FROM semsearch.query_embeddings e WHERE e.fingerprint = target.fingerprint AND e.hash = key
        ) THEN 'answered'
        WHEN FOUND THEN 'waiting'
        ELSE 'gone'
    END;
    IF state = 'failed' THEN
        DELETE FROM semsearch.embed_requests r
        WHERE r.collection_id = target.collection_id AND r.hash = key AND r.problem IS NOT NULL;
    END IF;
END $$;
COMMENT ON FUNCTION semsearch.embedding_state(text, text) IS
    'What has become of a request: waiting, answered (the embedding is cached), failed (problem says why; the request is '
    'then removed), gone (nobody has asked, or it was removed).';
REVOKE ALL ON FUNCTION semsearch.embedding_state(text, text) FROM PUBLIC;
