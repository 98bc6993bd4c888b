"""Events that are too large for the bus. They are stored as blobs, and their messages have a reference (`dataref`).

CloudEvents calls this a claim check: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/dataref.md
"""

from dataclasses import replace
from typing import Final

from shared import errors, freed_memory, jsontext, ports
from shared.event import Event, data_text, event_json, from_cloudevent, to_cloudevent

MAX_INLINE_BYTES: Final = 200 * 1024
"""The largest JSON of an event that travels in a message."""
_HAS_BODY_IN_DATA: Final = "rawdata"
"""An attribute of stored events only. It says that `rawbody` is left out, because it is the text of `data`, byte for
byte."""


def stored_json(event: Event, data: bytes) -> bytes:
    """Return the JSON of an event for a blob. `data` is the JSON text of its data.

    A `rawbody` that equals this text is left out, and `read_stored` restores it.
    """
    if event.rawbody is None or event.rawbody.encode() != data:
        return event_json(event, data)
    return b'{"%b":true,%b' % (_HAS_BODY_IN_DATA.encode(), event_json(replace(event, rawbody=None), data)[1:])


def read_stored(content: bytes) -> Event:
    """Return the event of a blob. Raises as from_json and from_cloudevent do."""
    document = jsontext.from_json(content)
    event = from_cloudevent(document)
    has_body_in_data = isinstance(document, dict) and document.get(_HAS_BODY_IN_DATA) is True
    return replace(event, rawbody=data_text(content)) if has_body_in_data else event


async def checked_in(
    event: Event, blobs: ports.Blobs | None, name: str, content: bytes | None = None, *, is_new: bool = False
) -> tuple[Event, bytes]:
    """Return the event as it may travel, and its JSON. An event that is too large is first stored as the blob `name`.

    `content` is the JSON of the whole event, if the caller has it. With `is_new`, no blob has the name yet: receive may
    create blobs, and may not replace any. Without `blobs`, each event travels whole, and Pub/Sub accepts up to 10 MB.

    Raises Temporary if the blob cannot be stored.
    """
    if content is None:
        content = jsontext.to_json(to_cloudevent(event)).encode()
    if blobs is None or len(content) <= MAX_INLINE_BYTES:
        return event, content
    freed_memory.keep_freed_memory()
    await (blobs.create if is_new else blobs.put)(name, content)
    light = replace(event, data=None, dataref=name, rawbody=None, rawbase64=None, rawheaders=None)
    return light, jsontext.to_json(to_cloudevent(light)).encode()


async def checked_out(event: Event, blobs: ports.Blobs | None) -> Event:
    """Return the whole event. Raises Temporary, and Permanent (`missing_body`) if its blob is gone."""
    return event if event.dataref is None else (await stored_event(event.dataref, blobs))[0]


async def stored_event(dataref: str, blobs: ports.Blobs | None) -> tuple[Event, int]:
    """Return the whole event, and the number of bytes of its JSON. Raises as checked_out does."""
    if blobs is None:
        raise errors.Temporary(
            "blobs_unavailable", "the event's data is in a blob, and this platform's settings name no place for blobs"
        )
    freed_memory.keep_freed_memory()
    content = await blobs.get(dataref)
    if content is None:
        raise errors.Permanent("missing_body", f"the blob {dataref!r} that holds the event's data is gone")
    return read_stored(content), len(content)
