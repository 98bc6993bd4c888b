-- The words for the states changed. An index with an old word in its condition would never be used again.
UPDATE deliveries SET reason = current_reason(state, reason);
UPDATE deliveries SET state = CASE state
    WHEN 'done' THEN 'delivered' WHEN 'failed' THEN 'dead_lettered' WHEN 'retry_at' THEN 'retry_scheduled'
    WHEN 'disabled' THEN 'held' ELSE state END;
DROP INDEX deliveries_due;
DROP INDEX deliveries_held;
DROP INDEX deliveries_failed;
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination, created_at) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination, created_at) WHERE state = 'dead_lettered';
