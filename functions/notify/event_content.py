"""The content of an event, as other systems may get it."""

from dataclasses import replace
from typing import Final

from shared import base64_text, jsontext
from shared.event import Event, to_cloudevent

_BYTES_KEYS: Final = frozenset({"type", "size", "base64"})


def public_cloudevent(event: Event) -> jsontext.JsonObject:
    """Return the event as others may see it: without the raw request and without what only Hookchain uses."""
    shown = replace(event, rawbody=None, rawbase64=None, rawtype=None, rawheaders=None, signedas=None, datatype=None)
    return to_cloudevent(shown)


def bytes_in(data: jsontext.Json) -> tuple[bytes, str] | None:
    """Return the bytes that came as `{"type": …, "size": …, "base64": …}`, and their type; None for other data."""
    if not isinstance(data, dict) or not data.keys() >= _BYTES_KEYS or not isinstance(encoded := data["base64"], str):
        return None
    try:
        return base64_text.decode_base64(encoded), str(data["type"])
    except ValueError:  # an object of the sender's that happens to have these keys
        return None
