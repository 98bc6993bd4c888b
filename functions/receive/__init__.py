"""Receive: a request in, confirmed events on the bus out.

main or lambda_handler → entry (answers and logs) → receive (the order of the checks, and the replies) → admission (head
and credentials) → parsing → events (facts has what they are made of, identity their ids) → the bus. The module source
reads a source's settings, and flood_limits bounds the work for senders that flood a process. Some modules are loaded
only if a source needs them: handshakes, provider_keys, bus, messages and json_forms, browser_form, body_schema;
and diagnosis after a rejection.
"""
