"""Tenants, who may do what, and that no tenant reaches what is another's."""

import re
from dataclasses import dataclass
from typing import Final

import pytest

from functions.subscribe.route import Route
from functions.subscribe.routes import ROUTES
from shared.jsontext import JsonObject
from shared.subscribers.model import Capability, Scope
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
TENANT = "/v1/tenants/acme"


@dataclass
class Lives:
    """A tenant in its second life, and what its first one left."""

    api: Subscribers
    key: str
    token: str
    delivery: str


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
    return Lives(api, key, await api.token("acme", key, *ALL), str(row["id"]))


async def test_deliveries_of_the_former_life_are_neither_shown_nor_sent_again() -> None:
    lives = await second_life()
    path = f"{TENANT}/deliveries/{lives.delivery}"
    assert (await lives.api.send("GET", path, by=lives.token)).status == 404
    assert (await lives.api.send("POST", f"{path}/resend", by=lives.token)).status == 404
    assert lives.api.published() == []


async def test_a_new_endpoint_recovers_and_replays_nothing_of_the_former_life() -> None:
    lives = await second_life()
    endpoint = await lives.api.endpoint("acme", lives.token)
    for act in ("recover", "replay"):
        path = f"{TENANT}/endpoints/{endpoint['id']}/{act}"
        assert (await lives.api.send("POST", path, {"since": SINCE}, by=lives.token)).json["count"] == 0
    assert lives.api.published() == []


async def test_an_event_that_is_kept_for_the_new_life_is_seen_although_it_was_received_before() -> None:
    """An operator replays what failed while the tenant was not there."""
    lives = await second_life()
    lives.api.clock.advance(1)
    replayed = await lives.api.message("acme", 1)
    (shown,) = (await lives.api.send("GET", f"{TENANT}/messages", by=lives.token)).items
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


# Tenants and access


async def test_a_request_without_a_known_key_is_answered_401_and_told_how_to_authenticate(api: Subscribers) -> None:
    known = await api.key("read")
    for given in ("", "nonsense", "hck_000000000000_" + "A" * 43, known[:-1] + ("A" if known[-1] != "A" else "B")):
        answer = await api.send("GET", "/v1/tenants", by=given)
        assert (answer.status, answer.code) == (401, "not_authenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await api.send("GET", "/v1/tenants", by=known)).status == 200


@pytest.mark.parametrize(
    ("scope", "method", "path", "body", "status"),
    [
        ("read", "GET", "/v1/tenants", None, 200),
        ("read", "PUT", "/v1/tenants/acme", {}, 403),
        ("write", "PUT", "/v1/tenants/acme", {}, 200),
        ("write", "POST", "/v1/api-keys", {"scopes": ["admin"]}, 403),
        ("portal", "POST", "/v1/tenants/old/portal-tokens", {}, 201),
        ("portal", "GET", "/v1/tenants", None, 403),
        ("admin", "POST", "/v1/api-keys", {"scopes": ["read"]}, 201),
        ("admin", "POST", "/v1/tenants/old/portal-tokens", {}, 201),
    ],
)
async def test_a_key_does_what_its_scope_allows(
    api: Subscribers, scope: Scope, method: str, path: str, body: dict[str, str] | None, status: int
) -> None:
    await api.tenant("old", await api.key())
    answer = await api.send(method, path, None if body is None else {**body}, by=await api.key(scope))
    assert answer.status == status


async def test_a_rotated_key_is_valid_for_24_hours_more_and_a_deleted_one_not_at_all(api: Subscribers) -> None:
    admin = await api.key()
    made = await api.send("POST", "/v1/api-keys", {"scopes": ["read"], "description": "CI"}, by=admin)
    old, id_ = made.text("key"), made.text("id")
    rotated = await api.send("POST", f"/v1/api-keys/{id_}/rotate", by=admin)
    new = rotated.text("key")
    assert (rotated.json["rotated"], new != old) == (True, True)
    assert [(await api.send("GET", "/v1/tenants", by=each)).status for each in (old, new)] == [200, 200]
    api.clock.time += 86_401
    assert [(await api.send("GET", "/v1/tenants", by=each)).status for each in (old, new)] == [401, 200]
    assert (await api.send("DELETE", f"/v1/api-keys/{id_}", by=admin)).status == 204
    assert (await api.send("GET", "/v1/tenants", by=new)).status == 401
    assert all(old[17:] not in each.text and new[17:] not in each.text for each in api.documents.kept.values())


async def test_a_tenant_is_created_replaced_and_deleted_with_its_endpoints(api: Subscribers) -> None:
    key = await api.key("write")
    made = await api.send("PUT", "/v1/tenants/acme", {"name": "Acme", "email": "ops@acme.example"}, by=key)
    await api.endpoint("acme", key)
    replaced = await api.send("PUT", "/v1/tenants/acme", {"metadata": {"plan": "gold"}}, by=key)
    assert made.json["created_at"] == replaced.json["created_at"]
    assert (replaced.json["name"], replaced.json["metadata"]) == ("", {"plan": "gold"})
    token = await api.token("acme", await api.key("portal"))
    seen = await api.send("GET", "/v1/tenants/acme", by=token)
    assert (seen.json["id"], seen.json["metadata"]) == ("acme", {})  # the operator's own notes
    assert (await api.send("DELETE", "/v1/tenants/acme", by=key)).status == 204
    assert (await api.send("GET", "/v1/tenants/acme/endpoints", by=key)).status == 404
    await api.tenant("acme", key)
    assert (await api.send("GET", "/v1/tenants/acme/endpoints", by=key)).items == []


async def test_a_list_is_read_page_by_page_and_a_cursor_is_of_one_list(api: Subscribers) -> None:
    key = await api.key()
    names = [await api.tenant(f"tenant-{number}", key) for number in range(5)]
    first, *_ = pages = await api.pages("/v1/tenants?limit=2", by=key)
    assert [each["id"] for page in pages for each in page.items] == names
    for path in (f"/v1/api-keys?cursor={first.json['next']}", "/v1/tenants?cursor=AAAA.AAAA"):
        answer = await api.send("GET", path, by=key)
        assert (answer.status, answer.code) == (400, "invalid_cursor")


async def test_a_portal_token_ends_when_it_expires_or_is_revoked(api: Subscribers, key: str) -> None:

    async def status_of(token: str) -> int:
        return (await api.send("GET", "/v1/tenants/acme/endpoints", by=token)).status

    made = await api.send("POST", "/v1/tenants/acme/portal-tokens", {"expires_in": 60}, by=key)
    assert made.text("url") == f"https://hooks.example.com/portal#token={made.text('token')}"
    assert await status_of(made.text("token")) == 200
    api.clock.time += 60
    assert await status_of(made.text("token")) == 401

    made, other = [await api.send("POST", "/v1/tenants/acme/portal-tokens", {}, by=key) for _ in range(2)]
    assert (await api.send("DELETE", f"/v1/tenants/acme/portal-sessions/{made.text('session')}", by=key)).status == 204
    assert [await status_of(each.text("token")) for each in (made, other)] == [401, 200]

    assert (await api.send("DELETE", "/v1/tenants/acme/portal-sessions", by=key)).status == 204
    assert await status_of(other.text("token")) == 401
    api.clock.time += 1
    newer = await api.token("acme", key)
    assert await status_of(newer) == 200

    await api.send("DELETE", "/v1/tenants/acme", by=key)
    assert await status_of(newer) == 401
    api.clock.time += 1
    await api.tenant("acme", key)
    assert await status_of(newer) == 401


async def test_a_changed_token_is_none(api: Subscribers) -> None:
    key = await api.key()
    for name in ("acme", "other"):
        await api.tenant(name, key)
    token = await api.token("acme", key, "view")
    other = await api.token("other", key, "view", "manage", "resend", "reveal_secret")
    payload, _, signature = token.removeprefix("hpt_").partition(".")
    other_payload, _, _ = other.removeprefix("hpt_").partition(".")
    for forged in (f"hpt_{other_payload}.{signature}", f"hpt_{payload}.", f"hpt_{payload}.{signature[:-2]}", "hpt_."):
        assert (await api.send("GET", "/v1/portal-info", by=forged)).status == 401


async def test_the_secret_of_tokens_is_rotated_by_a_line_before_the_old_one(api: Subscribers, key: str) -> None:
    token = await api.token("acme", key)
    old = api.secrets.texts["subscribers-key"]
    api.secrets.texts["subscribers-key"] = f"{'n' * 40}\n{old}"
    assert (await api.send("GET", "/v1/portal-info", by=token)).status == 200
    newer = await api.token("acme", key)
    api.secrets.texts["subscribers-key"] = "n" * 40
    assert [(await api.send("GET", "/v1/portal-info", by=each)).status for each in (token, newer)] == [401, 200]


async def test_the_page_learns_what_its_token_allows(api: Subscribers, key: str) -> None:
    answer = await api.send("GET", "/v1/portal-info", by=await api.token("acme", key, "manage"))
    assert (answer.json["tenant"], answer.json["capabilities"], answer.json["verify"]) == ("acme", ["manage"], "none")
    assert (await api.send("GET", "/v1/portal-info", by=key)).status == 403
