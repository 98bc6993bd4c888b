"""The destinations of the slice. A kind's module is imported when the first of its destinations is used."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from functions.notify.destination import KINDS, Context, Destination, kind_module
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject
from shared.slices import SliceFault


@dataclass(frozen=True, slots=True)
class Configured:
    """`retry_seconds` are the waits between attempts; `on_unknown` is `resend` or `hold`."""

    name: str
    kind: str
    settings: Json
    retry_seconds: tuple[float, ...]
    timeout_seconds: float
    on_unknown: str


def read_destinations(slice_: JsonObject) -> Mapping[str, Configured]:
    """Raises SliceFault, also for a kind that there is no module of."""
    written = slice_.get("destinations")
    if not isinstance(written, dict):
        raise SliceFault("slice", "notify's slice has no 'destinations'; compile it again")
    return {name: _configured(name, destination) for name, destination in written.items()}


def _configured(name: str, written: Json) -> Configured:
    if not isinstance(written, dict):
        raise SliceFault("slice", f"destination {name!r} is not an object; compile the slice again")
    kind, on_unknown = written.get("kind"), written.get("on_unknown")
    retry, timeout = written.get("retry_seconds"), written.get("timeout_seconds")
    if not isinstance(kind, str) or not kind.isidentifier() or not importlib.util.find_spec(f"{KINDS}.{kind}"):
        raise SliceFault("slice", f"destination {name!r}: there is no kind {kind!r}")
    if not isinstance(retry, list) or not isinstance(timeout, int | float) or on_unknown not in ("resend", "hold"):
        raise SliceFault("slice", f"destination {name!r} lacks its retries, timeout or on_unknown; compile it again")
    waits = tuple(float(wait) for wait in retry if isinstance(wait, int | float))
    return Configured(name, kind, written.get("settings"), waits, float(timeout), str(on_unknown))


class Destinations:
    def __init__(self, configured: Mapping[str, Configured], context: Context) -> None:
        self._configured = configured
        self._context = context
        self._connected: dict[str, Destination] = {}

    def find(self, name: str) -> Configured | None:
        return self._configured.get(name)

    def connected(self, configured: Configured) -> Destination:
        """Raises Temporary where it cannot start: what is owed to it waits for a bundle that is whole."""
        destination = self._connected.get(configured.name)
        if destination is None:
            destination = _connect(configured, self._context)
            self._connected[configured.name] = destination
        return destination


def dedupes_repeats(destination: Destination) -> bool:
    """Return True where the receiver recognises a repeat. A kind that does not say so counts as one that does not."""
    return getattr(destination, "dedupes_repeats", False) is True


def _connect(configured: Configured, context: Context) -> Destination:
    try:
        module = importlib.import_module(kind_module(configured.kind))
        settings = module.Settings.model_validate(configured.settings)
        destination: Destination = module.connect(configured.name, settings, context)
    except (ImportError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        where = f"destination {configured.name!r} of kind {configured.kind!r}"
        raise Temporary("destination", f"{where} cannot start: {type(error).__name__}; bundle it again") from error
    return destination
