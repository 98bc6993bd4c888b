"""Events too large for a bus or a store rest in Blobs and travel by reference (CloudEvents' claim check, `dataref`)."""

import asyncio
from dataclasses import replace
from typing import Final

from shared.errors import Permanent, Temporary
from shared.event import Event, from_stored, to_cloudevent
from shared.jsontext import to_json
from shared.ports import Blobs

MAX_INLINE_BYTES: Final = 200 * 1024
GIVE_BACK_SECONDS: Final = 1.0
"""How long after a large event the memory that it left behind is given back."""


async def checked_in(
    event: Event, blobs: Blobs | None, name: str, content: bytes | None = None, *, is_named_by_content: bool = False
) -> tuple[Event, bytes]:
    """Return the event as it may travel, and its JSON. Over 200 KiB it is put under `name` first. Raises Temporary.

    `content` is the JSON of the whole event, if the caller has it at hand.
    `is_named_by_content`: the same name always has the same content, so an existing blob is not written again.

    Where the platform has no Blobs it travels whole, which Pub/Sub takes to 10 MB.
    """
    if content is None:
        content = to_json(to_cloudevent(event)).encode()
    if blobs is None or len(content) <= MAX_INLINE_BYTES:
        return event, content
    _memory.give_back_soon()
    await (blobs.create if is_named_by_content else blobs.put)(name, content)
    light = replace(event, data=None, dataref=name, rawbody=None, rawbase64=None, rawheaders=None)
    return light, to_json(to_cloudevent(light)).encode()


async def checked_out(event: Event, blobs: Blobs | None) -> Event:
    """Return the whole event. Raises Temporary, and Permanent (`missing_body`) where the blob is gone."""
    if event.dataref is None:
        return event
    if blobs is None:
        raise Temporary(
            "blobs_unavailable", "the event's data is in a blob, and this platform's settings name no place for blobs"
        )
    _memory.give_back_soon()
    content = await blobs.get(event.dataref)
    if content is None:
        raise Permanent("missing_body", f"the blob {event.dataref!r} that holds the event's data is gone")
    return from_stored(content)


class _Memory:
    """The memory that large events leave behind, given back to the system by one timer for all of them.

    glibc gives a large piece back when it is freed, but only the first of its size: from then on it keeps the pieces of
    that size for others, and what lies between them. Mapping each piece by itself costs a large event half its CPU.
    """

    def __init__(self) -> None:
        self._is_due = False

    def give_back_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(GIVE_BACK_SECONDS, self._give_back)

    def _give_back(self) -> None:
        import ctypes  # few events are large

        self._is_due = False
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others have none
        if trim is not None:
            trim(0)


_memory: Final = _Memory()
