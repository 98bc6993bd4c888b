"""The causes for which a delivery waits, and the sweep that brings it back. Start with schedule.py.

    schedule.py   the time of the next attempt
    due.py        the rows that are due, and the message that starts a retry
    pauses.py     a destination's circuit breaker, and an operator's pause
    caps.py       `rate` and `in_flight` of a destination, over all instances; rate.py and slot_queue.py have the times
    routes.py     a route whose step asked a system that did not respond
    sweep.py      finds what is due; publication.py publishes it, each destination at its pace
    side_tasks.py tasks that run beside the sweep

The order in which these are asked is in the first lines of attempt.py.
"""
