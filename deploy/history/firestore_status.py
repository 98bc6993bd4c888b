"""An event's status on Firestore, worked out when it is looked at, from its deliveries' rows in the ledger."""

from collections.abc import Sequence

from deploy.history.journal_rows import REPLAYED
from shared import ledger_rules as rules
from shared.jsontext import JsonObject


def status_of(entry: JsonObject, states: Sequence[str], letters: Sequence[str]) -> str:
    """`states` of its deliveries, `letters` those of its dead letters. One that was replayed no longer speaks."""
    expected = entry["expected"]
    assert isinstance(expected, int)
    if entry["broken"] or rules.FAILED in states or any(letter != REPLAYED for letter in letters):
        return "failed"
    if rules.DISABLED in states:
        return "held"
    if rules.RETRY_AT in states:
        return "retrying"
    if not expected and not states:
        if any(route["matched"] for route in _routes(entry)):
            return "stopped"
        return "duplicate" if any(not route["route"] for route in _routes(entry)) else "unmatched"
    is_open = len(states) < expected or any(state in rules.LEASED for state in states)
    return "delivering" if is_open else "delivered"


def _routes(entry: JsonObject) -> list[JsonObject]:
    routes = entry["routes"]
    assert isinstance(routes, list)
    return [route for route in routes if isinstance(route, dict)]
