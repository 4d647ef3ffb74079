CREATE OR REPLACE VIEW semsearch.live_workers WITH (security_invoker = true) AS
SELECT
    w.number,
    w.host,
    w.process_id,
    w.version,
    w.started_at,
    w.seen_at,
    (SELECT count(*) FROM semsearch.leases l WHERE l.worker = w.number AND l.expires_at > now()) AS leased
FROM semsearch.workers w
WHERE w.seen_at > now() - interval '60 seconds';
COMMENT ON VIEW semsearch.live_workers IS
    'Workers that were heard of within the last minute, and how many documents each has leased.';
