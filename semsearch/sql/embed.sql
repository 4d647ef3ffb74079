-- No SET clause, or it could not COMMIT: every name and operator in it is qualified instead. The sleeps are short, and a
-- COMMIT stands between them, so that no snapshot keeps VACUUM from its work.
CREATE OR REPLACE PROCEDURE semsearch.embed(collection text, query text, timeout interval DEFAULT '10 s')
LANGUAGE plpgsql
AS $$
DECLARE
    longest pg_catalog.interval := '1 year';
    deadline pg_catalog.timestamptz;
    pause pg_catalog.float8 := 0.001;
    seen pg_catalog.record;
    hint pg_catalog.text;
BEGIN
    IF semsearch.query_embedding(collection, query) IS NOT NULL THEN
        PERFORM semsearch.keep_embedding(collection, query);
        RETURN;
    ELSIF timeout IS NULL OR timeout OPERATOR(pg_catalog.<) '0 s'::pg_catalog.interval THEN
        RAISE EXCEPTION 'the timeout is not a length of time: %', timeout USING ERRCODE = 'invalid_parameter_value';
    ELSIF timeout OPERATOR(pg_catalog.>) longest THEN  -- with more there may be no such moment
        RAISE EXCEPTION 'the timeout is longer than %: %', longest, timeout USING ERRCODE = 'invalid_parameter_value';
    END IF;
    deadline := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) timeout;
    CALL semsearch.require_no_transaction_block();
    PERFORM semsearch.request_embedding(collection, query);
    COMMIT;
    LOOP
        PERFORM pg_catalog.pg_sleep(pause);
        SELECT s.state, s.problem INTO seen FROM semsearch.embedding_state(collection, query) AS s;
        IF seen.state OPERATOR(pg_catalog.=) 'gone' THEN  -- it was somebody else's too, who was told a problem
            PERFORM semsearch.request_embedding(collection, query);
        END IF;
        COMMIT;
        IF seen.state OPERATOR(pg_catalog.=) 'answered' THEN
            RETURN;
        ELSIF seen.state OPERATOR(pg_catalog.=) 'failed' THEN
            RAISE EXCEPTION '%', seen.problem USING ERRCODE = 'SEM03';
        END IF;
        EXIT WHEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) deadline;
        pause := LEAST(pause OPERATOR(pg_catalog.*) 1.2, 0.02);
    END LOOP;
    hint := semsearch.withdraw_request(collection, query);
    COMMIT;
    RAISE EXCEPTION 'no embedding came within %', timeout USING ERRCODE = 'SEM02', HINT = hint;
END $$;
COMMENT ON PROCEDURE semsearch.embed(text, text, interval) IS
    'Have a text embedded by the collection''s model, so that semsearch.search finds by it: a running `semsearch worker` '
    'or `semsearch serve` does it in milliseconds, and the embedding is cached. Returns at once when it is already. '
    'collection: its name; query: the text, at most 32 kB; timeout: how long to wait, 10 seconds by default. '
    'Call it outside of a transaction block. Errors: SEM02 when none came in time, SEM03 when the model failed. '
    'Example: CALL semsearch.embed(''handbook'', ''reset my password'')';
