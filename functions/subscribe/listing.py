"""Pages of lists, and their cursors.

A cursor says where a page ended. It is signed, so that nobody makes one, and bound to its list.
"""

from collections.abc import Callable
from typing import TypeVar

from functions.subscribe.credentials import read_signed, signed_text
from functions.subscribe.models.base import ListQuery, Output
from functions.subscribe.problems import ApiProblem
from functions.subscribe.route import Call
from functions.subscribe.service import Service
from shared.jsontext import Json, canonical, from_json
from shared.subscribers.directory import read_stored
from shared.subscribers.model import Stored

Document = TypeVar("Document", bound=Stored)
View = TypeVar("View", bound=Output)


async def make_cursor(service: Service, list_: Json, position: list[Json]) -> str:
    """Return the cursor of a position. `list_` names the list with its filters."""
    return signed_text(canonical([list_, position]), (await service.keyring.cursor_keys())[0])


async def read_cursor(service: Service, list_: Json, text: str) -> list[Json]:
    """Return the position of a cursor; an empty one where there is none. Raises ApiProblem (`invalid_cursor`)."""
    if not text:
        return []
    payload = read_signed(text, await service.keyring.cursor_keys())
    value = None if payload is None else from_json(payload)
    if not isinstance(value, list) or canonical(value[0]) != canonical(list_) or not isinstance(value[1], list):
        raise ApiProblem("invalid_cursor", "the cursor is not one of this list, or its filters have changed")
    return value[1]


async def read_page(
    call: Call, model: type[Document], partition: str, given: ListQuery, view: Callable[[Document], View]
) -> tuple[list[View], str | None]:
    """Return the views of a page of documents, in the order of their ids, and the cursor of the next page.

    Raises ApiProblem.
    """
    after = await read_cursor(call.service, partition, given.cursor)
    found = await call.service.documents.page(partition, given.limit + 1, str(after[0]) if after else "")
    documents = found[: given.limit]
    next_ = await make_cursor(call.service, partition, [documents[-1].id]) if len(found) > given.limit else None
    return [view(read_stored(model, each)) for each in documents], next_
