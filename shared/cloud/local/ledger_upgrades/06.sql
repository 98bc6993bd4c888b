-- One index took the place of two, which SQLite does not do to a table that exists.
ALTER TABLE deliveries RENAME TO deliveries_before;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, fence INTEGER NOT NULL, generation INTEGER NOT NULL,
    attempt_number INTEGER NOT NULL, retry_at REAL, reason TEXT NOT NULL, answer TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, payload_hash TEXT NOT NULL, lease_until REAL NOT NULL,
    crashes INTEGER NOT NULL, replays TEXT NOT NULL, unknown_count INTEGER NOT NULL DEFAULT 0,
    attempts TEXT NOT NULL DEFAULT '[]', message BLOB NOT NULL DEFAULT x'', UNIQUE (event_id, key));
INSERT INTO deliveries (
    id, key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer,
    created_at, updated_at, message, payload_hash, lease_until, crashes, unknown_count, replays, attempts)
SELECT
    id, key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer,
    created_at, updated_at, message, payload_hash, lease_until, crashes, unknown_count, replays, attempts
FROM deliveries_before;
DROP TABLE deliveries_before;
CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination, created_at);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination, created_at) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination, created_at) WHERE state = 'dead_lettered';
