"""What the tests of the API begin with: the API over fakes, an operator's key, a tenant, and an endpoint of it."""

import pytest

from tests.fakes.subscribe_api import Subscribers


@pytest.fixture
def api() -> Subscribers:
    return Subscribers()


@pytest.fixture
async def key(api: Subscribers) -> str:
    """An API key that may do all, once the tenant `acme` is there."""
    key = await api.key()
    await api.tenant("acme", key)
    return key


@pytest.fixture
async def endpoint(api: Subscribers, key: str) -> str:
    """The id of an endpoint of the tenant."""
    return str((await api.endpoint("acme", key))["id"])
