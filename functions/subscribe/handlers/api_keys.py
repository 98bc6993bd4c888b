"""The operator's API keys.

The store has only the digests of a key's secrets: that of the current secret, whose `until` is None, and those of
former secrets, each with the Unix time until which it is valid.
"""

from typing import Annotated, Final

from pydantic import Field

from functions.subscribe import credentials, cursors, problems
from functions.subscribe.models import values
from functions.subscribe.route import Call
from shared.subscribers.directory import API_KEYS
from shared.subscribers.model import ApiKey, Scope
from shared.times import rfc3339

ID_CHARACTERS: Final = 12
SECRET_BYTES: Final = 32
"""The sizes of an API key's id and secret. credentials.API_KEY matches no others."""
MAX_FORMER_DIGESTS: Final = 3
"""The most former secrets of an API key that stay valid. If it is rotated more often in a day, the oldest one ends."""


class ApiKeyInput(values.Input):
    """A new API key. `write` includes `read`, and `admin` includes all."""

    description: Annotated[values.Line, Field(max_length=200)] = ""
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]


class ApiKeyView(values.Output):
    """An API key without its secret. `rotated` is true while the previous secret is still valid."""

    id: str
    description: str
    scopes: list[Scope]
    created_at: str
    rotated: bool


class ApiKeyCreated(ApiKeyView):
    """The key, which is shown once. After a rotation, the previous key is valid for 24 more hours."""

    key: str


async def list_keys(call: Call, query: values.ListQuery) -> values.Page[ApiKeyView]:
    """List the API keys."""
    items, next_ = await cursors.read_page(call, ApiKey, API_KEYS, query, lambda key: _key_view(call, key))
    return values.Page[ApiKeyView](items=items, next=next_)


async def create_key(call: Call, body: ApiKeyInput) -> ApiKeyCreated:
    """Create an API key, and show it once."""
    id_ = call.new_short_id("key", ID_CHARACTERS)
    text, digest = _make_key(call, id_)
    scopes = tuple(dict.fromkeys(body.scopes))
    key = ApiKey(id=id_, description=body.description, scopes=scopes, digests=((digest, None),), created_at=call.now)
    await call.service.documents.write(API_KEYS, id_, key.text())
    return ApiKeyCreated(**_key_view(call, key).model_dump(), key=text)


async def rotate_key(call: Call, _: values.NoBody) -> ApiKeyCreated:
    """Replace an API key; the one before is valid for 24 hours more."""
    now, id_ = call.now, call.params["key"]
    text, digest = _make_key(call, id_)

    def decide(before: ApiKey | None) -> ApiKey:
        if before is None:
            raise problems.not_found("API key")
        former = [
            (former_digest, until or now + credentials.OVERLAP_SECONDS)
            for former_digest, until in before.digests
            if until is None or now < until
        ]
        return before.model_copy(update={"digests": ((digest, None), *former[:MAX_FORMER_DIGESTS])})

    key = await call.service.directory.change(ApiKey, API_KEYS, id_, decide)
    assert key is not None  # because `decide` always returns a key
    return ApiKeyCreated(**_key_view(call, key).model_dump(), key=text)


async def delete_key(call: Call, _: values.NoQuery) -> None:
    """Delete an API key."""
    if await call.service.documents.get(API_KEYS, call.params["key"]) is None:
        raise problems.not_found("API key")
    await call.service.documents.delete(API_KEYS, call.params["key"])


def _make_key(call: Call, id_: str) -> tuple[str, str]:
    """Return a new key's text, and its digest."""
    text = credentials.api_key_text(id_, call.service.random_bytes(SECRET_BYTES))
    # Read as a request's key is read, so that the stored digest is the one that is looked for.
    parts = credentials.read_api_key(text)
    assert parts is not None
    return text, parts.digest


def _key_view(call: Call, key: ApiKey) -> ApiKeyView:
    return ApiKeyView(
        id=key.id,
        description=key.description,
        scopes=list(key.scopes),
        created_at=rfc3339(key.created_at),
        rotated=any(until is not None and call.now < until for _, until in key.digests),
    )
