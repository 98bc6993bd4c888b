"""The outcomes of requests, events, attempts and deliveries.

The log, the page, the commands and the code use the same words. deploy/codes.md lists each with its meaning.
"""

from typing import Literal, TypeAlias

RequestOutcome: TypeAlias = Literal["accepted", "answered", "rejected", "unavailable"]
"""Of a request to any of the functions. `answered`: it makes no event. `unavailable`: a 503, so that it comes again."""

EventOutcome: TypeAlias = Literal["routed", "filtered", "no_route", "duplicate", "waiting", "dead_lettered"]
"""Of an event in transform. `waiting`: nothing is owed yet, because each route that took it waits or failed."""

RouteOutcome: TypeAlias = Literal["matched", "not_matched", "filtered", "duplicate", "waiting", "dead_lettered"]
"""Of an event at one route. `waiting`: a step's system did not answer, and the route runs again later."""

AttemptOutcome: TypeAlias = Literal["delivered", "retry_scheduled", "unknown", "held", "failed"]
"""Of one attempt. `failed`: the destination will never accept the delivery."""

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
"""Of a delivery that the bus pushed to notify. `deferred`: no attempt was made, and it is scheduled for later.
`gathered`: it waits in a group. `rerun`: a waiting route runs again."""

DeliveryState: TypeAlias = Literal[
    "claimed", "attempted", "delivered", "retry_scheduled", "held", "dead_lettered", "merged"
]
"""Of a delivery in the ledger."""

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
"""Of an event in the lists of the page and of `hookchain events`: where it is now. `waiting`: a delivery waits for a
digest, for the end of quiet hours or for its turn, and nothing was tried yet."""
