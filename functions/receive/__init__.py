"""Receive: a request in, confirmed events on the bus out.

main or lambda_handler → entry (answers and logs) → receive (the order of the checks) → admission (head and credentials)
→ parsing → events → the bus; replies has what the sender gets. A source's settings are read in source. Loaded only
where a source needs them: handshakes, provider_keys, bus, browser_form, body_schema; and diagnosis after a rejection.
"""
