"""notify: delivers each event to its destination, once at least, and retries what fails. Start with notify.py.

entry.py        answers a push, a batch or the scheduler, and logs one line
notify.py       the path of one delivery: read, find its target, get a place, claim, attempt, settle
claims.py, attempt.py, call.py, settle.py, dead_letters.py     the stages of that path
waiting/        what makes a delivery wait, and the sweep that brings it back
digests/        deliveries that wait for each other and go out as one
recipients/     the person whom a destination's `to` names
destinations/   one module or folder for each kind of destination, around http_engine.py
subscribers/    endpoints of the operator's own users
alerts/         Hookchain's own events to its operator
recovery/       events that a provider could not deliver, read from its API in the sweep
"""
