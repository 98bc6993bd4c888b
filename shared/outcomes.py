"""The outcomes of requests, events, attempts and deliveries.

The log, the page, the commands and the code use the same words. deploy/codes.md lists each with its meaning.
"""

from typing import Literal, TypeAlias

RequestOutcome: TypeAlias = Literal["accepted", "answered", "rejected", "unavailable"]
"""The outcome of a request to a function. `answered` makes no event. `unavailable` is a 503, so that it comes again."""

EventOutcome: TypeAlias = Literal["routed", "filtered", "no_route", "duplicate", "waiting", "dead_lettered"]
"""The outcome of an event in transform. `waiting`: nothing is owed yet, as each route that took it waits or failed."""

RouteOutcome: TypeAlias = Literal["matched", "not_matched", "filtered", "duplicate", "waiting", "dead_lettered"]
"""The outcome of an event at a route. `waiting`: a step's system did not answer, and the route runs again later."""

AttemptOutcome: TypeAlias = Literal["delivered", "retry_scheduled", "unknown", "held", "failed"]
"""The outcome of an attempt. `failed`: the destination will never accept the delivery."""

DeliveryOutcome: TypeAlias = Literal[
    "delivered",
    "retry_scheduled",
    "unknown",
    "held",
    "dead_lettered",
    "deferred",
    "gathered",
    "waiting",
    "rerun",
    "finished",
    "duplicate",
    "busy",
    "lease_expired",
]
"""The outcome of a delivery that the bus brought to notify.

deferred  no attempt was made, and it is scheduled for later
gathered  it waits in a group
rerun     a waiting route runs again
"""

DeliveryState: TypeAlias = Literal[
    "claimed", "attempted", "delivered", "retry_scheduled", "held", "dead_lettered", "merged"
]
"""The state of a delivery in the ledger."""

EventStatus: TypeAlias = Literal[
    "received",
    "no_route",
    "filtered",
    "duplicate",
    "delivering",
    "delivered",
    "waiting",
    "retry_scheduled",
    "held",
    "merged",
    "dead_lettered",
]
"""The status of an event in the lists of the page and of `hookchain events`.

waiting  no attempt was made yet, because a delivery waits for a digest, for the end of quiet hours or for its turn
"""
