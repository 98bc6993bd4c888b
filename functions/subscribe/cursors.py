"""Pages of lists, and the cursors that lead from one page to the next.

A cursor contains the position at which a page ended. It is signed, so that a caller cannot make one, and it is valid
only for the list and the filters that it was made for.
"""

from collections.abc import Callable
from typing import TypeVar

from functions.subscribe import credentials, problems, route
from functions.subscribe.models import values
from functions.subscribe.service import Service
from shared.jsontext import Json, canonical, from_json
from shared.subscribers.directory import read_stored
from shared.subscribers.model import Stored

Document = TypeVar("Document", bound=Stored)
View = TypeVar("View", bound=values.Output)


async def make_cursor(service: Service, list_key: Json, position: list[Json]) -> str:
    """Return the cursor of a position, signed with the newest key. `list_key` identifies the list and its filters."""
    newest_key, *_ = await service.keyring.cursor_keys()
    return credentials.signed_text(canonical([list_key, position]), newest_key)


async def read_cursor(service: Service, list_key: Json, cursor: str) -> list[Json]:
    """Return the position that `make_cursor` was given; an empty list if `cursor` is empty.

    Raises ApiProblem (`invalid_cursor`) for a cursor that we have not signed, or that is for another `list_key`.
    """
    if not cursor:
        return []
    payload = credentials.read_signed(cursor, await service.keyring.cursor_keys())
    content = None if payload is None else from_json(payload)
    match content:
        case [signed_list_key, list() as position]:
            if canonical(signed_list_key) == canonical(list_key):
                return position
    raise problems.ApiProblem("invalid_cursor", "the cursor is not one of this list, or its filters have changed")


async def read_page(
    call: route.Call, model: type[Document], partition: str, query: values.ListQuery, view: Callable[[Document], View]
) -> tuple[list[View], str | None]:
    """Return the views of a page of documents, in the order of their ids, and the cursor of the next page.

    `partition` is the part of the store that holds the list; it has no filters. Each document is read as a `model`, and
    `view` makes of it what the API returns. The cursor is None if this is the last page. Raises ApiProblem
    (`invalid_cursor`).
    """
    position = await read_cursor(call.service, partition, query.cursor)
    last_id = str(position[0]) if position else ""
    one_more_than_asked = query.limit + 1  # the extra document shows that there is another page
    stored = await call.service.documents.page(partition, one_more_than_asked, last_id)
    documents = stored[: query.limit]
    next_cursor = None
    if len(stored) > query.limit:
        next_cursor = await make_cursor(call.service, partition, [documents[-1].id])
    return [view(read_stored(model, document)) for document in documents], next_cursor
