"""What the routes decided of an event, as the journals keep it and the page shows it; and read again."""

from collections.abc import Sequence

from shared.journal import RouteDecision
from shared.jsontext import Json, JsonObject


def route_documents(routes: Sequence[RouteDecision]) -> list[Json]:
    return [_document(route) for route in routes]


def _document(route: RouteDecision) -> JsonObject:
    return {
        "route": route.route,
        "matched": route.matched,
        "reason": route.reason,
        "destinations": list(route.destinations),
        "code": route.code,
    }


def decisions_of(documents: Json) -> tuple[RouteDecision, ...]:
    """As `route_documents` made them."""
    assert isinstance(documents, list)
    return tuple(_decision(document) for document in documents if isinstance(document, dict))


def _decision(document: JsonObject) -> RouteDecision:
    destinations, code = document["destinations"], document["code"]
    assert isinstance(destinations, list)
    return RouteDecision(
        route=str(document["route"]),
        matched=bool(document["matched"]),
        reason=str(document["reason"]),
        destinations=tuple(str(name) for name in destinations),
        code=code if isinstance(code, str) else None,
    )
