"""Alerts: Hookchain's own events to its operator. Start with alert.py.

alert.py                 an alert as an event and as a line
publisher.py             who gets alerts; publishes them, at once for a dead letter
monitor.py               each sweep checks sources and destinations, and publishes what they decide
quiet_sources.py         decides whether a source has gone quiet, or is back
paused_destinations.py   decides whether a destination is paused, disabled, or works again
"""
