DROP INDEX IF EXISTS deliveries_created;
