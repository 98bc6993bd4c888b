"""Endpoints of the operator's own users. Start with fan_out.py.

fan_out.py       one delivery to subscribers becomes one to each endpoint that the event is for
endpoints.py     an endpoint as a destination: its secrets and its request
subscribers.py   tenants and endpoints, remembered for seconds; the health of an endpoint, and its notices
"""
