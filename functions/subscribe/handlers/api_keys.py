"""API keys. The store has the digests of their secrets only."""

from typing import Final

from functions.subscribe.cursors import cursor, position
from functions.subscribe.handlers.endpoints import ID_DIGITS
from functions.subscribe.models.access import ApiKeyCreated, ApiKeyInput, ApiKeyView
from functions.subscribe.models.base import ListQuery, NoBody, NoQuery, Page
from functions.subscribe.problems import not_found
from functions.subscribe.route import Call
from shared.subscribers.credentials import OVERLAP_SECONDS, api_key_text, read_api_key
from shared.subscribers.directory import API_KEYS
from shared.subscribers.model import ApiKey
from shared.times import rfc3339

ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32


async def list_keys(call: Call, given: ListQuery) -> Page[ApiKeyView]:
    """List the API keys."""
    after = await position(call.service, API_KEYS, given.cursor)
    found = await call.service.directory.page(ApiKey, API_KEYS, given.limit + 1, str(after[0]) if after else "")
    items = found[: given.limit]
    next_ = await cursor(call.service, API_KEYS, [items[-1].id]) if len(found) > given.limit else None
    return Page[ApiKeyView](items=[_view(call, each) for each in items], next=next_)


async def create_key(call: Call, given: ApiKeyInput) -> ApiKeyCreated:
    """Create an API key, and show it once."""
    id_ = _key_id(call.new_id("key"))
    text, digest = _made(call, id_)
    scopes = tuple(dict.fromkeys(given.scopes))
    key = ApiKey(id=id_, description=given.description, scopes=scopes, digests=((digest, None),), created_at=call.now)
    await call.service.documents.write(API_KEYS, id_, key.text())
    return ApiKeyCreated(**_view(call, key).model_dump(), key=text)


async def rotate_key(call: Call, given: NoBody) -> ApiKeyCreated:
    """Replace an API key; the one before is valid for 24 hours more."""
    now, id_ = call.now, call.params["key"]
    text, digest = _made(call, id_)

    def decide(before: ApiKey | None) -> ApiKey:
        if before is None:
            raise not_found("API key")
        older = [
            (each, until or now + OVERLAP_SECONDS) for each, until in before.digests if until is None or now < until
        ]
        return before.model_copy(update={"digests": ((digest, None), *older[:3])})

    key = await call.service.directory.change(ApiKey, API_KEYS, id_, decide)
    assert key
    return ApiKeyCreated(**_view(call, key).model_dump(), key=text)


async def delete_key(call: Call, given: NoQuery) -> None:
    """Delete an API key."""
    if await call.service.documents.get(API_KEYS, call.params["key"]) is None:
        raise not_found("API key")
    await call.service.documents.delete(API_KEYS, call.params["key"])


def _made(call: Call, id_: str) -> tuple[str, str]:
    """Return a new key's text, and its digest."""
    text = api_key_text(id_, call.service.random_bytes(SECRET_BYTES))
    parts = read_api_key(text)
    assert parts
    return text, parts.digest


def _key_id(hex_digits: str) -> str:
    number, digits = int(hex_digits, 16), ""
    for _ in range(ID_CHARACTERS):
        number, digit = divmod(number, len(ID_DIGITS))
        digits += ID_DIGITS[digit]
    return digits


def _view(call: Call, key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        description=key.description,
        scopes=list(key.scopes),
        created_at=rfc3339(key.created_at),
        rotated=any(until is not None and call.now < until for _, until in key.digests),
    )
