"""Cursors: where a page of a list ended, signed, so that nobody makes one, and bound to the list that they are of."""

from functions.subscribe.credentials import read_signed, signed_text
from functions.subscribe.problems import ApiProblem
from functions.subscribe.service import Service
from shared.jsontext import Json, canonical, from_json


async def cursor(service: Service, list_: Json, position: list[Json]) -> str:
    """Return the cursor of a position. `list_` names the list with its filters."""
    return signed_text(canonical([list_, position]), (await service.keyring.cursor_keys())[0])


async def position(service: Service, list_: Json, text: str) -> list[Json]:
    """Return the position of a cursor; an empty one where there is none. Raises ApiProblem (`invalid_cursor`)."""
    if not text:
        return []
    payload = read_signed(text, await service.keyring.cursor_keys())
    value = None if payload is None else from_json(payload)
    if not isinstance(value, list) or canonical(value[0]) != canonical(list_) or not isinstance(value[1], list):
        raise ApiProblem("invalid_cursor", "the cursor is not one of this list, or its filters have changed")
    return value[1]
