CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at) WHERE state = 'retry_scheduled';
