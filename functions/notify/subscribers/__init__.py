"""Endpoints of the operator's own users. Start with fan_out.py.

fan_out.py       one delivery to subscribers becomes one to each endpoint that the event is for
endpoints.py     an endpoint as a destination: its secrets and its request
health.py        the health of an endpoint, changed by the outcomes of attempts
subscribers.py   tenants and endpoints, remembered for seconds, and the notices about the health of endpoints
"""
