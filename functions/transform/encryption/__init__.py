"""The keys and the two forms of encrypted values. Only deployments with an `encrypt` or `decrypt` step load it."""
