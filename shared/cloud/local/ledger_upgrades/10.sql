DROP INDEX IF EXISTS deliveries_destination;
DROP INDEX IF EXISTS deliveries_held;
DROP INDEX IF EXISTS deliveries_failed;
CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination, created_at);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_scheduled';
CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination, created_at) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination, created_at) WHERE state = 'dead_lettered';
