ALTER TABLE deliveries ADD COLUMN needs_release INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET needs_release = 1 WHERE state = 'held' AND reason LIKE '%accepted or not: unknown%';
