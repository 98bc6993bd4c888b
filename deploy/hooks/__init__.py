"""The webhooks that providers have for the configured sources: registered, compared, repaired and removed."""
