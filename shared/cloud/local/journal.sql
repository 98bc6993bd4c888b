-- The tables of journal.db.
--
-- events    one row an event, small, so that lists and counts stay fast; `expected` deliveries, `broken` routes
-- bodies    the event itself and what its routes decided; the search index follows its `seq`. It names its event by
--           number, because an index of ids takes a page of the file for each new one
-- In both, `seq` is never reused, because the search index does not learn of deletions.
-- requests  receive's log lines, accepted and rejected

CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, type TEXT, subject TEXT,
    actor TEXT, received_at REAL NOT NULL, routed_at REAL, expected INTEGER NOT NULL DEFAULT 0,
    broken INTEGER NOT NULL DEFAULT 0, status TEXT NOT NULL DEFAULT 'received');
CREATE INDEX IF NOT EXISTS events_source ON events (source);
CREATE INDEX IF NOT EXISTS events_type ON events (type);
CREATE INDEX IF NOT EXISTS events_status ON events (status);
CREATE INDEX IF NOT EXISTS events_received ON events (received_at);

CREATE TABLE IF NOT EXISTS bodies (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event_seq INTEGER NOT NULL UNIQUE, document TEXT NOT NULL,
    routes TEXT NOT NULL, passes INTEGER NOT NULL DEFAULT 1);

CREATE TABLE IF NOT EXISTS attempts (
    seq INTEGER PRIMARY KEY, delivery_id TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, attempt_number INTEGER NOT NULL, started_at REAL NOT NULL, ended_at REAL NOT NULL,
    outcome TEXT NOT NULL, reason TEXT NOT NULL, answer TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS attempts_event ON attempts (event_id);
CREATE INDEX IF NOT EXISTS attempts_ended ON attempts (ended_at);

CREATE TABLE IF NOT EXISTS dead_letters (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, code TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    message BLOB NOT NULL, topic TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'kept');
CREATE INDEX IF NOT EXISTS dead_letters_event ON dead_letters (event_id);

CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, method TEXT NOT NULL, status INTEGER NOT NULL, code TEXT,
    source TEXT NOT NULL, event_id TEXT, type TEXT, detail TEXT NOT NULL, bytes INTEGER, duration_ms REAL);
CREATE INDEX IF NOT EXISTS requests_event ON requests (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS requests_at ON requests (at);
CREATE INDEX IF NOT EXISTS requests_refused ON requests (seq) WHERE status >= 400;
CREATE INDEX IF NOT EXISTS requests_refused_by ON requests (source, seq) WHERE status >= 400;
