"""One tenant never sees, guesses or touches anything of another, nor of its own former life under the same id.

Every route is asked with every other tenant's ids. What a deleted tenant was owed stays in the stores as long as events
do; only `hookchain forget --tenant` erases it sooner.
"""

import re
from dataclasses import dataclass
from typing import Final

import pytest

from functions.subscribe.route import Route
from functions.subscribe.routes import ROUTES
from shared.jsontext import JsonObject
from shared.subscribers.model import Capability
from tests.fakes.subscribe_api import Subscribers
from tests.unit.subscribe.ledgers import attempted

BODIES: Final[dict[str, JsonObject]] = {
    "create_endpoint": {"url": "https://evil.example.com/"},
    "change_endpoint": {"url": "https://evil.example.com/"},
    "send_test": {"type": "order.paid"},
    "recover_endpoint": {"since": "2020-01-01T00:00:00Z"},
    "replay_endpoint": {"since": "2020-01-01T00:00:00Z"},
    "create_key": {"scopes": ["admin"]},
    "import_event_types": {"document": {}},
}
ALL: Final[tuple[Capability, ...]] = ("view", "manage", "resend", "reveal_secret")
OF_TENANTS: Final = [route for route in ROUTES if "{tenant}" in route.path]
OF_OPERATORS: Final = [route for route in ROUTES if route.access.capability is None]


async def world(api: Subscribers, other: str = "other") -> tuple[str, dict[str, dict[str, str]]]:
    """Return an operator's key, and of each of two tenants the parameters of its paths."""
    key = await api.key()
    params: dict[str, dict[str, str]] = {}
    for number, tenant in enumerate(("acme", other)):
        await api.tenant(tenant, key)
        endpoint = await api.endpoint(tenant, key)
        message = await api.message(tenant, number, data={"owner": tenant})
        await attempted(api.ledger, message, tenant, str(endpoint["id"]), api.clock.now(), "dead_lettered")
        path = f"/v1/tenants/{tenant}/endpoints/{endpoint['id']}/deliveries"
        delivery = (await api.send("GET", path, by=key)).items[0]
        session = await api.send("POST", f"/v1/tenants/{tenant}/portal-tokens", {}, by=key)
        params[tenant] = {
            "tenant": tenant,
            "endpoint": str(endpoint["id"]),
            "message": message.id,
            "delivery": str(delivery["id"]),
            "session": session.text("session"),
            "type": "order.paid",
            "key": "0" * 12,
        }
    return key, params


def path_of(route: Route, params: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: params[found[1]], route.path)


@pytest.mark.parametrize(("other", "capabilities"), [("other", ("view",)), ("other", ALL), ("ACME", ALL), ("acm", ALL)])
async def test_no_route_of_another_tenant_is_there(other: str, capabilities: tuple[Capability, ...]) -> None:
    api = Subscribers()
    key, params = await world(api, other)
    token = await api.token("acme", key, *capabilities)
    before, sent = dict(api.documents.kept), len(api.bus.sent)
    for route in OF_TENANTS:
        answer = await api.send(route.method, path_of(route, params[other]), BODIES.get(route.name), by=token)
        unknown = await api.send(
            route.method, path_of(route, {**params[other], "tenant": "nobody"}), BODIES.get(route.name), by=token
        )
        assert (answer.status, answer.code) == (404, "not_found"), route
        assert answer.reply == unknown.reply, f"{route.name} tells a tenant that exists from one that does not"
    assert (api.documents.kept, len(api.bus.sent)) == (before, sent)


async def test_ids_of_another_tenant_under_the_own_tenants_path_name_nothing() -> None:
    api = Subscribers()
    key, params = await world(api)
    token = await api.token("acme", key, *ALL)
    of_others = {name: api.documents.kept[name] for name in api.documents.kept if "other" in name[0]}
    for route in OF_TENANTS:
        inner = [name for name in re.findall(r"{(\w+)}", route.path) if name != "tenant"]
        if not inner or route.access.capability is None:
            continue
        mixed = {**params["other"], "tenant": "acme"}
        answer = await api.send(route.method, path_of(route, mixed), BODIES.get(route.name), by=token)
        assert (answer.status, answer.code) == (404, "not_found"), route
    assert of_others == {name: api.documents.kept[name] for name in api.documents.kept if "other" in name[0]}
    assert not [each for each in api.published() if "other" in each.destination]


async def test_lists_of_a_tenant_hold_nothing_of_another() -> None:
    api = Subscribers()
    key, params = await world(api)
    token = await api.token("acme", key, "view")
    for name in ("endpoints", "deliveries", "messages"):
        answer = await api.send("GET", f"/v1/tenants/acme/{name}", by=token)
        assert len(answer.items) == 1
        for id_ in (params["other"]["endpoint"], params["other"]["message"], params["other"]["delivery"]):
            assert id_ not in answer.reply.body.decode()


async def test_a_token_with_every_capability_uses_no_route_of_the_operator() -> None:
    api = Subscribers()
    key, params = await world(api)
    token = await api.token("acme", key, *ALL)
    before = dict(api.documents.kept)
    for route in OF_OPERATORS:
        answer = await api.send(route.method, path_of(route, params["acme"]), BODIES.get(route.name), by=token)
        assert (answer.status, answer.code) == (403, "not_allowed"), route
    assert api.documents.kept == before


@pytest.mark.parametrize("capability", ALL)
async def test_a_token_uses_the_routes_of_its_capability_only(capability: Capability) -> None:
    """`manage` and `resend` include `view`."""
    api = Subscribers()
    key, params = await world(api)
    token = await api.token("acme", key, capability)
    included = {capability, *({"view"} if capability in {"manage", "resend"} else set())}
    for route in [route for route in ROUTES if route.access.capability]:
        if route.method == "DELETE":
            continue
        answer = await api.send(route.method, path_of(route, params["acme"]), BODIES.get(route.name), by=token)
        assert (answer.status == 403) == (route.access.capability not in included), (route, answer.json)


async def test_every_route_asks_who_is_there() -> None:
    api = Subscribers()
    _, params = await world(api)
    for route in ROUTES:
        assert (await api.send(route.method, path_of(route, params["acme"]), BODIES.get(route.name))).status == 401


SINCE = "2020-01-01T00:00:00Z"


@dataclass
class Lives:
    """A tenant in its second life, and what its first one left."""

    api: Subscribers
    key: str
    token: str
    message: str
    delivery: str

    @property
    def tenant(self) -> str:
        return "/v1/tenants/acme"


async def second_life() -> Lives:
    api = Subscribers()
    key = await api.key()
    await api.tenant("acme", key)
    old = await api.endpoint("acme", key)
    message = await api.message("acme", 1, data={"secret": "of another owner"})
    await attempted(api.ledger, message, "acme", str(old["id"]), api.clock.now(), "dead_lettered")
    (row,) = (await api.send("GET", f"/v1/tenants/acme/endpoints/{old['id']}/deliveries", by=key)).items
    assert (await api.send("GET", f"/v1/tenants/acme/deliveries/{row['id']}", by=key)).status == 200
    assert (await api.send("DELETE", "/v1/tenants/acme", by=key)).status == 204
    api.clock.advance(60)
    await api.tenant("acme", key)
    return Lives(api, key, await api.token("acme", key, *ALL), message.id, str(row["id"]))


async def test_deliveries_of_the_former_life_are_neither_shown_nor_sent_again() -> None:
    lives = await second_life()
    path = f"{lives.tenant}/deliveries/{lives.delivery}"
    assert (await lives.api.send("GET", path, by=lives.token)).status == 404
    assert (await lives.api.send("POST", f"{path}/resend", by=lives.token)).status == 404
    assert lives.api.published() == []


async def test_a_new_endpoint_recovers_and_replays_nothing_of_the_former_life() -> None:
    lives = await second_life()
    endpoint = await lives.api.endpoint("acme", lives.token)
    for act in ("recover", "replay"):
        path = f"{lives.tenant}/endpoints/{endpoint['id']}/{act}"
        assert (await lives.api.send("POST", path, {"since": SINCE}, by=lives.token)).json["count"] == 0
    assert lives.api.published() == []


async def test_an_event_that_is_kept_for_the_new_life_is_seen_although_it_was_received_before() -> None:
    """An operator replays what failed while the tenant was not there."""
    lives = await second_life()
    lives.api.clock.advance(1)
    replayed = await lives.api.message("acme", 1)
    (shown,) = (await lives.api.send("GET", f"{lives.tenant}/messages", by=lives.token)).items
    assert shown["id"] == replayed.id


async def test_an_idempotency_key_of_the_former_life_is_new() -> None:
    api = Subscribers()
    key = await api.key()
    made: list[JsonObject] = []
    for _ in range(2):
        await api.tenant("acme", key)
        body: JsonObject = {"url": "https://customer.example.com/in"}
        answer = await api.send("POST", "/v1/tenants/acme/endpoints", body, by=key, headers={"Idempotency-Key": "k"})
        made.append(answer.json)
        await api.send("DELETE", "/v1/tenants/acme", by=key)
        api.clock.advance(60)
    assert made[0]["id"] != made[1]["id"]
    assert made[0]["secret"] != made[1]["secret"]
