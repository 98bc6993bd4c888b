-- Computes the status of an event.
--
-- The last attempt of each delivery speaks for it. A wait of a route speaks while it waits, and its end as long as no
-- later run has decided otherwise. A dead letter that was replayed no longer speaks.
UPDATE events SET status = (
    SELECT CASE
        WHEN events.broken > 0 OR total(outcome = 'failed') > 0 OR EXISTS (
            SELECT 1 FROM dead_letters WHERE event_id = events.id AND state <> 'replayed') THEN 'dead_lettered'
        WHEN total(outcome = 'held') > 0 THEN 'held'
        WHEN total(outcome IN ('retry_scheduled', 'unknown') AND attempt_number > 0) > 0 THEN 'retry_scheduled'
        WHEN total(outcome = 'retry_scheduled') > 0 THEN 'waiting'
        WHEN events.routed_at IS NULL THEN iif(count(*), 'delivering', 'received')
        WHEN events.expected = 0 AND count(*) = 0 THEN (
            SELECT CASE WHEN total(json_extract(value, '$.matched')) > 0 THEN 'filtered'
                WHEN total(json_extract(value, '$.route') = '') > 0 THEN 'duplicate' ELSE 'no_route' END
            FROM bodies, json_each(routes) WHERE event_seq = events.seq)
        WHEN count(*) < events.expected THEN 'delivering'
        WHEN total(outcome = 'merged') > 0 THEN 'merged'
        ELSE 'delivered' END
    FROM (SELECT outcome, attempt_number, max(seq) FROM attempts WHERE event_id = events.id GROUP BY delivery_id
        HAVING destination <> '(route)' OR outcome = 'retry_scheduled' OR outcome = 'failed' AND EXISTS (
            SELECT 1 FROM bodies, json_each(routes)
            WHERE event_seq = events.seq AND json_extract(value, '$.waiting'))))
WHERE id = ?
