"""The rate of a tenant's requests that send something."""

from functions.subscribe.routes import ROUTES
from functions.subscribe.service import INTERVAL_SECONDS, MAX_REQUESTS
from tests.fakes.subscribe_api import Answer, Subscribers

SENDING = {"verify_endpoint", "send_test", "recover_endpoint", "replay_endpoint", "resend_delivery"}


async def exhausted(api: Subscribers, token: str, endpoint: str) -> Answer:
    """Let the tenant test the endpoint as often as it may, and once more."""
    for _ in range(MAX_REQUESTS):
        assert (await send_test(api, token, endpoint)).status == 202
    return await send_test(api, token, endpoint)


async def send_test(api: Subscribers, by: str, endpoint: str, tenant: str = "acme") -> Answer:
    path = f"/v1/tenants/{tenant}/endpoints/{endpoint}/test"
    return await api.send("POST", path, {"type": "order.paid"}, by=by)


def test_whatever_sends_something_is_limited_and_nothing_else() -> None:
    assert {each.name for each in ROUTES if each.is_limited} == SENDING


async def test_a_tenant_that_asks_too_often_has_to_wait(api: Subscribers, key: str, endpoint: str) -> None:
    token = await api.token("acme", key)
    rejected = await exhausted(api, token, endpoint)
    assert (rejected.status, rejected.code) == (429, "too_many_requests")
    assert len(api.published()) == MAX_REQUESTS
    api.clock.advance(float(rejected.headers["retry-after"]) - 0.01)
    assert (await send_test(api, token, endpoint)).status == 429
    api.clock.advance(0.02)
    assert (await send_test(api, token, endpoint)).status == 202
    assert (await send_test(api, token, endpoint)).status == 429
    api.clock.advance(MAX_REQUESTS * INTERVAL_SECONDS)
    assert (await exhausted(api, token, endpoint)).status == 429


async def test_neither_others_nor_the_operator_has_to_wait(api: Subscribers, key: str, endpoint: str) -> None:
    await exhausted(api, await api.token("acme", key), endpoint)
    assert (await send_test(api, key, endpoint)).status == 202
    await api.tenant("bolt", key)
    own = await api.endpoint("bolt", key)
    assert (await send_test(api, await api.token("bolt", key), str(own["id"]), "bolt")).status == 202
