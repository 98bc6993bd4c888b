ALTER TABLE deliveries ADD COLUMN attempts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deliveries ADD COLUMN message BLOB NOT NULL DEFAULT x'';
UPDATE deliveries SET message = (SELECT message FROM messages WHERE messages.id = deliveries.id)
    WHERE state NOT IN ('delivered', 'dead_lettered') AND id IN (SELECT id FROM messages);
DROP TABLE messages;
