"""API keys."""

from functions.subscribe.models.access import ApiKeyCreated, ApiKeyInput, ApiKeyView
from functions.subscribe.models.base import ListQuery, NoBody, NoQuery, Page
from functions.subscribe.route import Call


async def list_keys(call: Call, given: ListQuery) -> Page[ApiKeyView]:
    """List the API keys."""
    raise NotImplementedError


async def create_key(call: Call, given: ApiKeyInput) -> ApiKeyCreated:
    """Create an API key, and show it once."""
    raise NotImplementedError


async def rotate_key(call: Call, given: NoBody) -> ApiKeyCreated:
    """Replace an API key; the one before is valid for 24 hours more."""
    raise NotImplementedError


async def delete_key(call: Call, given: NoQuery) -> None:
    """Delete an API key."""
    raise NotImplementedError
