"""Who is told what: the part of notify's slice about alerts and silence."""

from collections.abc import Mapping
from typing import NamedTuple

from functions.notify.registry import Configured
from shared.jsontext import Json, JsonObject


class Silence(NamedTuple):
    """A source is quiet once no event came for `after_seconds`; `to` are the destinations that are told."""

    after_seconds: float
    to: tuple[str, ...]


class AlertSettings(NamedTuple):
    """to       the destinations that get alerts; none where only silence is told of
    silences    by the source's name
    reaches     for each destination in `to`, those that its own alerts may end at: itself, and what `otherwise` names
    """

    to: tuple[str, ...]
    silences: Mapping[str, Silence]
    reaches: Mapping[str, frozenset[str]]

    def told_about(self, destination: str) -> tuple[str, ...]:
        """Return who is told about a destination: those whose own alerts do not depend on it.

        An alert about the place that it goes to would not arrive, or would cause the next one.
        """
        return tuple(name for name in self.to if destination not in self.reaches[name])


def read_alert_settings(slice_: JsonObject, destinations: Mapping[str, Configured]) -> AlertSettings | None:
    """Return the settings as the compiler wrote them; None where nobody is told of anything."""
    written = slice_.get("alerts")
    if not isinstance(written, dict):
        return None
    to = _names(written.get("to"))
    silences = written.get("silence")
    return AlertSettings(
        to,
        {
            name: Silence(float(after), _names(each.get("to")))
            for name, each in (silences.items() if isinstance(silences, dict) else ())
            if isinstance(each, dict) and isinstance(after := each.get("after_seconds"), int | float)
        },
        {name: _reached(name, destinations) for name in to},
    )


def _reached(name: str, destinations: Mapping[str, Configured]) -> frozenset[str]:
    reached: set[str] = set()
    following: str | None = name
    while following is not None and following not in reached:
        reached.add(following)
        configured = destinations.get(following)
        following = configured.otherwise if configured else None
    return frozenset(reached)


def _names(written: Json) -> tuple[str, ...]:
    return tuple(name for name in written if isinstance(name, str)) if isinstance(written, list) else ()
