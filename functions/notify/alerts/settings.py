"""The recipients of alerts: the part of notify's slice about alerts and silence."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from functions.notify.registry import Configured
from shared.jsontext import Json, JsonObject


class Silence(NamedTuple):
    """A source is quiet once no event came for `after_seconds`. `to` are the destinations that get the alert.

    `lag_seconds`: how far the record may be behind the source's last event.
    """

    after_seconds: float
    to: tuple[str, ...]
    lag_seconds: float = 0.0


class AlertSettings(NamedTuple):
    """to       the destinations that get alerts; none if there are only alerts of silence
    silences    by the source's name
    excluded    for each destination in `to`, those that it gets no alerts about
    """

    to: tuple[str, ...]
    silences: Mapping[str, Silence]
    excluded: Mapping[str, frozenset[str]]

    def recipients_for(self, destination: str) -> tuple[str, ...]:
        return tuple(name for name in self.to if destination not in self.excluded[name])


def read_alert_settings(slice_: JsonObject, destinations: Mapping[str, Configured]) -> AlertSettings | None:
    """Return the settings as the compiler wrote them; None if there are no alerts."""
    written = slice_.get("alerts")
    if not isinstance(written, dict):
        return None
    to = _names(written.get("to"))
    silences = written.get("silence")
    return AlertSettings(
        to,
        {
            name: Silence(float(after), _names(each.get("to")), _seconds(each.get("lag_seconds")))
            for name, each in (silences.items() if isinstance(silences, dict) else ())
            if isinstance(each, dict) and isinstance(after := each.get("after_seconds"), int | float)
        },
        {name: _excluded(to[number:], destinations) for number, name in enumerate(to)},
    )


def _excluded(names: Sequence[str], destinations: Mapping[str, Configured]) -> frozenset[str]:
    """Return what the first of these gets no alerts about: where its own alerts go, and those of the ones after it.

    So a delivery of an alert can only cause alerts that go to destinations further down the list, and there is no loop.
    """
    return frozenset[str]().union(*[_reached(name, destinations) for name in names])


def _reached(name: str, destinations: Mapping[str, Configured]) -> frozenset[str]:
    """Return where the destination's deliveries may end: there, or at what `otherwise` names."""
    reached: set[str] = set()
    following: str | None = name
    while following is not None and following not in reached:
        reached.add(following)
        configured = destinations.get(following)
        following = configured.otherwise if configured else None
    return frozenset(reached)


def _seconds(written: Json) -> float:
    return float(written) if isinstance(written, int | float) else 0.0


def _names(written: Json) -> tuple[str, ...]:
    return tuple(name for name in written if isinstance(name, str)) if isinstance(written, list) else ()
