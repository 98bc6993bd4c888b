"""The decisions about an event that the journal only counts, computed when somebody asks for them.

Transform decides about the routes of an event's source. No other route takes the event, and why not follows from the
route and the event alone.
"""

from collections.abc import Collection

from functions.transform.read_routes import read_program
from functions.transform.routes import match_all
from shared.event import from_cloudevent
from shared.journal import RouteDecision
from shared.jsontext import JsonObject


def unlisted_decisions(
    document: JsonObject, listed: Collection[RouteDecision], transform: JsonObject
) -> tuple[RouteDecision, ...]:
    """Return what the routes that are not `listed` decide about the event.

    `document` is the event with its data, `transform` the slice of the current configuration.
    """
    event, names = from_cloudevent(document), {decision.route for decision in listed}
    routes = tuple(read_program(transform).routes)
    return tuple(
        RouteDecision(route.name, found.matched, found.reason, route.destinations if found.matched else ())
        for route, found in zip(routes, match_all(routes, event), strict=True)
        if route.name not in names
    )
