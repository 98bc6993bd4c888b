"""The group in which a delivery waits: its destination, the key of its event, and the person whom it is for. Pure."""

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from functions.notify.gathering.settings import GatherSettings
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.jsontext import Json, texts_json

if TYPE_CHECKING:
    from shared.expressions import Expression

MAX_KEY_CHARACTERS: Final = 200
"""Of a key as a digest shows it."""
ALERTS: Final = "alerts"
"""How the names of groups of Hookchain's own alerts begin. All other names are hexadecimal."""


def group_of(settings: GatherSettings, delivery: Delivery, person: str | None = None) -> str:
    """Return the group: a hash, because keys and names may be long, or somebody's. `person` is the recipient's name."""
    keys: list[Json] = [key_of(expression, delivery.event) for expression in (settings.by, settings.per)]
    name = hashlib.sha256(texts_json([delivery.destination, *keys, person or ""])).hexdigest()
    return f"{ALERTS if settings.is_alerts else ''}{name}"[:32]


def key_of(expression: str | None, event: Event) -> str | None:
    """Return what the expression finds, as text; None for what is neither text, a number nor a boolean."""
    if expression is None:
        return None
    try:
        found = _compiled(expression).search(view_of(event))
    except Permanent:
        return None
    if isinstance(found, bool):
        return str(found).lower()
    return _surrogates_replaced(str(found)) if isinstance(found, str | int | float) else None


def _surrogates_replaced(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=1_000)
def _compiled(expression: str) -> "Expression":
    from shared.expressions import over_event  # it brings jmespath, which few destinations need

    return over_event(expression)
