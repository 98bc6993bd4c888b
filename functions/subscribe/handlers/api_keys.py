"""API keys. The store has the digests of their secrets only."""

from typing import Final

from functions.subscribe.credentials import OVERLAP_SECONDS, api_key_text, read_api_key
from functions.subscribe.listing import read_page
from functions.subscribe.models.access import ApiKeyCreated, ApiKeyInput, ApiKeyView
from functions.subscribe.models.base import ListQuery, NoBody, NoQuery, Page
from functions.subscribe.problems import not_found
from functions.subscribe.route import Call
from shared.subscribers.directory import API_KEYS
from shared.subscribers.model import ApiKey
from shared.times import rfc3339

ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32


async def list_keys(call: Call, given: ListQuery) -> Page[ApiKeyView]:
    """List the API keys."""
    items, next_ = await read_page(call, ApiKey, API_KEYS, given, lambda key: _view(call, key))
    return Page[ApiKeyView](items=items, next=next_)


async def create_key(call: Call, given: ApiKeyInput) -> ApiKeyCreated:
    """Create an API key, and show it once."""
    id_ = call.new_short_id("key", ID_CHARACTERS)
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


def _view(call: Call, key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        description=key.description,
        scopes=list(key.scopes),
        created_at=rfc3339(key.created_at),
        rotated=any(until is not None and call.now < until for _, until in key.digests),
    )
