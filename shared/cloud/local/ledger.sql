-- The tables of ledger.db.

-- Keys and event ids are random, so that each claim writes another page of an index of either. One index has both: it
-- finds a delivery by its event and key, and all deliveries of an event.
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, fence INTEGER NOT NULL, generation INTEGER NOT NULL,
    attempt_number INTEGER NOT NULL, retry_at REAL, reason TEXT NOT NULL, answer TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, payload_hash TEXT NOT NULL, lease_until REAL NOT NULL,
    crashes INTEGER NOT NULL, replays TEXT NOT NULL, unknown_count INTEGER NOT NULL DEFAULT 0,
    attempts TEXT NOT NULL DEFAULT '[]', message BLOB NOT NULL DEFAULT x'', group_id TEXT NOT NULL DEFAULT '',
    merged INTEGER NOT NULL DEFAULT 0, slot_at REAL NOT NULL DEFAULT 0,
    undelivered_since INTEGER NOT NULL DEFAULT 0, needs_release INTEGER NOT NULL DEFAULT 0, UNIQUE (event_id, key));

CREATE TABLE IF NOT EXISTS destinations (
    name TEXT PRIMARY KEY, disabled_reason TEXT, paused_until REAL, updated_at REAL NOT NULL,
    pause_reason TEXT NOT NULL DEFAULT '');

-- Some upgrades create these indexes too. Add a later index here and to an upgrade of its own.
-- The partial ones hold only the rows in one state, and cost the others nothing.
CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination, created_at);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination, created_at) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination, created_at) WHERE state = 'dead_lettered';
