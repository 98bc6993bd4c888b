"""A page of a list of documents, in the order of their ids."""

from collections.abc import Callable
from typing import TypeVar

from functions.subscribe.cursors import cursor, position
from functions.subscribe.models.base import ListQuery, Output
from functions.subscribe.route import Call
from shared.subscribers.directory import read_stored
from shared.subscribers.model import Stored

Document = TypeVar("Document", bound=Stored)
View = TypeVar("View", bound=Output)


async def read_page(
    call: Call, model: type[Document], partition: str, given: ListQuery, view: Callable[[Document], View]
) -> tuple[list[View], str | None]:
    """Return the views of the documents of a page, and the cursor of the page after it. Raises ApiProblem."""
    after = await position(call.service, partition, given.cursor)
    found = await call.service.documents.page(partition, given.limit + 1, str(after[0]) if after else "")
    documents = found[: given.limit]
    next_ = await cursor(call.service, partition, [documents[-1].id]) if len(found) > given.limit else None
    return [view(read_stored(model, each)) for each in documents], next_
