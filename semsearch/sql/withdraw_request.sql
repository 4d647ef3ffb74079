CREATE OR REPLACE FUNCTION semsearch.withdraw_request(collection text, query text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was_claimed boolean;
    alive bigint;
BEGIN
    DELETE FROM semsearch.embed_requests r
    WHERE r.collection_id = (semsearch.find_space(collection)).collection_id
      AND r.hash = sha256(convert_to(withdraw_request.query, 'UTF8'))
    RETURNING r.claimed_at IS NOT NULL INTO was_claimed;
    SELECT count(*) INTO alive FROM semsearch.live_workers;
    RETURN CASE
        WHEN was_claimed THEN 'One has begun with it: the model is loading or slow. Ask again, or give it longer.'
        WHEN alive = 0 THEN 'No live worker was heard of: run `semsearch worker` or `semsearch serve`.'
        ELSE format('Live workers: %s, but none took it. Does one of them serve this collection, and does it run a '
                    'version that answers? `semsearch worker` or `semsearch serve` must.', alive)
    END;
END $$;
COMMENT ON FUNCTION semsearch.withdraw_request(text, text) IS
    'Removes the request for an embedding that has not come in time, and says what may be the reason.';
REVOKE ALL ON FUNCTION semsearch.withdraw_request(text, text) FROM PUBLIC;
