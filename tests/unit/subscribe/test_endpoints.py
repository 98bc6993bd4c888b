"""Endpoints: what a tenant may set, how two changes at once end, what is done by whom, and who sees their secrets."""

import base64
import json

import pytest

from functions.subscribe.settings import TenantLimits, Verification, read_settings
from shared.delivery import Delivery
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject
from shared.ledger import PAUSED_BY_OPERATOR, Claimed, Settlement
from shared.ledger_rules import HELD
from shared.ports import DELIVERIES
from shared.settings import SliceFault
from shared.signatures.standard_webhooks import verify_standard
from shared.subscribers.model import EndpointAuth
from shared.subscribers.payload import verify_secret
from tests.fakes.fan_out import PAID
from tests.fakes.fetch import FakeFetch
from tests.fakes.subscribe_api import SLICE, Subscribers, api_with_tenant

ENDPOINTS = "/v1/tenants/acme/endpoints"
SIGNING = "whsec_" + base64.b64encode(b"s" * 32).decode()


def path_of(endpoint: JsonObject, action: str = "") -> str:
    return f"{ENDPOINTS}/{endpoint['id']}{action}"


async def test_all_of_an_endpoint_can_be_set_and_changed(api: Subscribers, key: str) -> None:
    fields: JsonObject = {
        "url": "https://a.example.com/in?x=1",
        "description": "Our shop",
        "types": ["order.*"],
        "filter": "data.total > `10`",
        "headers": {"X-Team": "shop"},
        "fields": {"customer": {"id": 7}},
        "auth": {"kind": "basic", "username": "me", "header": "", "prefix": "", "encoding": "hex"},
        "rate": "10/s",
        "enabled": False,
    }
    made = await api.endpoint("acme", key, **fields, secret="correct-horse")
    assert {name: made[name] for name in fields} == fields
    assert (made["secret"], made["disabled"]) == (
        "correct-horse",
        {"by": "operator", "reason": "", "at": made["created_at"]},
    )
    for name, value in {"types": [], "filter": "", "headers": {}, "fields": {}, "rate": "", "enabled": True}.items():
        change: JsonObject = {name: value}  # type: ignore[dict-item] # a list, a dict or a text
        changed = await api.send("PATCH", path_of(made), change, by=key)
        assert (changed.status, changed.json[name]) == (200, value)
    assert changed.json["url"] == fields["url"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"url": "http://a.example.com/"}, "/url"),
        ({"url": "https://127.0.0.1/"}, "/url"),
        ({"url": "https://user:canary@a.example.com/"}, "/url"),
        ({"url": "https://127.0.0.1/canary"}, "/url"),
        ({"url": "ftp://a.example.com/"}, "/url"),
        ({"types": ["order paid"]}, "/types/0"),
        ({"types": [f"t{number}" for number in range(51)]}, "/types"),
        ({"filter": "data.x >"}, "/filter"),
        ({"filter": "https://user:canary@a.example.com/"}, "/filter"),
        ({"filter": "subject == 'canary'"}, "/filter"),
        ({"filter": "{a: data}"}, "/filter"),
        ({"filter": "data." + "a" * 500}, "/filter"),
        ({"headers": {"Host": "x"}}, "/headers/Host"),
        ({"headers": {"webhook-id": "x"}}, "/headers/webhook-id"),
        ({"headers": {"Authorization": "x"}, "auth": {"kind": "bearer"}}, "/headers/Authorization"),
        ({"headers": {"X-Sig": "x"}, "auth": {"kind": "hmac", "header": "x-sig"}}, "/headers/X-Sig"),
        ({"headers": {"X": "a\r\nEvil: canary"}}, "/headers/X"),
        ({"headers": {"X": "a", "x": "b"}}, "/headers"),
        ({"headers": {f"x-{number}": "" for number in range(11)}}, "/headers"),
        ({"fields": {"data": 1}}, "/fields/data"),
        ({"fields": {"large": "x" * 9_000}}, "/fields"),
        ({"auth": {"kind": "basic"}}, "/auth"),
        ({"auth": {"kind": "standard"}, "secret": "correct-horse"}, "/secret"),
        ({"auth": {"kind": "bearer"}, "secret": "a canary d e f"}, "/secret"),
        ({"rate": "101/s"}, "/rate"),
        ({"unknown": 1}, "/unknown"),
    ],
)
async def test_a_value_that_breaks_a_rule_is_answered_422_with_its_path(
    api: Subscribers, key: str, fields: JsonObject, path: str
) -> None:
    body: JsonObject = {"url": "https://a.example.com/", **fields}
    made = await api.endpoint("acme", key)
    for answer in (
        await api.send("POST", ENDPOINTS, body, by=key),
        await api.send("PATCH", path_of(made), {"secret": SIGNING, **fields}, by=key),
    ):
        assert (answer.status, answer.code, answer.paths) == (422, "invalid_value", [path]), answer.json
        assert "canary" not in str(answer.json), "it repeats what the caller sent"
    assert len(await api.service.directory.endpoints("acme")) == 1


@pytest.mark.parametrize("url", ["http://[::1", "https://[", "https://a[b/", "https://\N{ACCOUNT OF}.com/"])
async def test_a_url_that_cannot_be_parsed_is_a_422_in_a_change_too(api: Subscribers, key: str, url: str) -> None:
    made = await api.endpoint("acme", key)
    answer = await api.send("PATCH", path_of(made), {"url": url}, by=key)
    assert (answer.status, answer.paths) == (422, ["/url"])


async def test_a_change_by_an_old_etag_is_412_and_by_the_new_one_is_done(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key)
    old = (await api.send("GET", path_of(made), by=key)).headers["etag"]
    first = await api.send("PATCH", path_of(made), {"description": "one"}, by=key, headers={"If-Match": old})
    assert first.status == 200
    second = await api.send("PATCH", path_of(made), {"description": "two"}, by=key, headers={"If-Match": old})
    assert (second.status, second.code) == (412, "version_mismatch")
    new = first.headers["etag"]
    assert (await api.send("DELETE", path_of(made), by=key, headers={"If-Match": old})).status == 412
    assert (await api.send("DELETE", path_of(made), by=key, headers={"If-Match": f'"x", {new}'})).status == 204
    assert (await api.send("GET", path_of(made), by=key)).status == 404


async def test_a_tenant_has_at_most_so_many_endpoints(api: Subscribers, key: str) -> None:
    for _ in range(5):
        await api.endpoint("acme", key)
    answer = await api.send("POST", ENDPOINTS, {"url": "https://a.example.com/"}, by=key)
    assert (answer.status, answer.code) == (409, "limit_reached")
    assert len((await api.send("GET", ENDPOINTS, by=key)).items) == 5


async def test_a_tenant_enables_what_it_disabled_but_not_what_the_operator_disabled(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key)
    tenant = await api.token("acme", key, "manage")
    disabled = await api.send("POST", path_of(made, "/disable"), by=tenant)
    assert (disabled.json["enabled"], disabled.json["disabled"]["by"]) == (False, "tenant")  # type: ignore[call-overload, index]
    assert (await api.send("POST", path_of(made, "/enable"), by=tenant)).json["disabled"] is None
    await api.send("POST", path_of(made, "/disable"), by=tenant)
    assert (await api.send("POST", path_of(made, "/disable"), by=key)).json["disabled"]["by"] == "operator"  # type: ignore[call-overload, index]
    await api.send("POST", path_of(made, "/disable"), by=tenant)
    for answer in (
        await api.send("POST", path_of(made, "/enable"), by=tenant),
        await api.send("PATCH", path_of(made), {"enabled": True}, by=tenant),
    ):
        assert (answer.status, answer.code) == (403, "not_allowed")
    assert (await api.send("POST", path_of(made, "/enable"), by=key)).json["enabled"] is True


async def test_the_operator_is_told_of_endpoints_where_it_wants_to_be() -> None:
    slice_: JsonObject = {**SLICE, "subscribers": {**SLICE["subscribers"], "tell": {"operator": "ops"}}}  # type: ignore[dict-item]
    api = Subscribers(settings=read_settings(slice_))
    key = await api.key()
    await api.send("PUT", "/v1/tenants/acme", {"name": "Acme", "email": "ada@acme.example"}, by=key)
    made = await api.endpoint("acme", key)
    await api.send("PATCH", path_of(made), {"description": "x"}, by=key)
    await api.send("PATCH", path_of(made), {"description": "x"}, by=key)  # which changes nothing
    await api.send("POST", path_of(made, "/disable"), by=key)
    await api.send("POST", path_of(made, "/enable"), by=key)
    for is_enabled in (False, True):
        api.clock.advance(1)
        await api.send("PATCH", path_of(made), {"enabled": is_enabled}, by=key)
    await api.send("DELETE", path_of(made), by=key)
    told = api.published()
    assert [each.event.type for each in told] == [
        "endpoint.created",
        "endpoint.updated",
        *["endpoint.disabled", "endpoint.enabled"] * 2,
        "endpoint.deleted",
    ]
    assert {(each.destination, each.event.source) for each in told} == {("ops", "/subscribers/hookchain")}
    assert len({each.id for each in told}) == 7
    facts = [each.event.data for each in told if isinstance(each.event.data, dict)]
    assert [(each["name"], each["description"]) for each in facts] == [("Acme", None), *[("Acme", "x")] * 6]
    assert [each["disabled_by"] for each in facts] == [None, None, *["operator", None] * 2, None]
    assert all(str(made["secret"]).encode() not in message.data for message in api.bus.on(DELIVERIES))


async def test_a_change_is_done_even_where_the_operator_cannot_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    api, key = await api_with_tenant(tell="ops")
    api.bus.fault = "the bus is down"
    await api.endpoint("acme", key)
    assert "the operator was not told" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "allowed", "rejected"),
    [
        ({"allow_http": True}, "http://a.example.com/", "http://10.0.0.1/"),
        ({"allow_private": True}, "https://10.0.0.1/", "http://10.0.0.1/"),
    ],
)
async def test_http_and_private_hosts_are_allowed_apart(settings: dict[str, bool], allowed: str, rejected: str) -> None:
    api, key = await api_with_tenant(**settings)
    await api.endpoint("acme", key, url=allowed)
    answer = await api.send("POST", ENDPOINTS, {"url": rejected}, by=key)
    assert (answer.status, answer.paths) == (422, ["/url"])


@pytest.mark.parametrize(
    ("limit", "fields"), [("headers", {"headers": {"a": "1", "b": "2"}}), ("types", {"types": ["a", "b"]})]
)
async def test_the_operators_limits_hold(limit: str, fields: dict[str, Json]) -> None:
    api, key = await api_with_tenant(limits=TenantLimits(headers=1, types=1))
    answer = await api.send("POST", ENDPOINTS, {"url": "https://a.example.com/", **fields}, by=key)
    assert answer.paths == [f"/{limit}"]


@pytest.mark.parametrize("reason", ["5 attempts in a row failed", PAUSED_BY_OPERATOR])
@pytest.mark.parametrize(
    ("method", "path", "change"),
    [("POST", "/enable", {}), ("PATCH", "", {"url": "https://acme.example/new"}), ("PATCH", "", {"description": "x"})],
)
async def test_who_repairs_an_endpoint_ends_its_pause_after_failures_but_no_pause_of_the_operator(
    api: Subscribers, key: str, method: str, path: str, change: JsonObject, reason: str
) -> None:
    made = await api.endpoint("acme", key)
    name = f"customers:acme:{made['id']}"
    now = api.clock.now()
    await api.ledger.pause(name, now + 3_600, now, reason)
    claim = await api.ledger.claim(Delivery(PAID, "to customers", name), b"message", now, 30.0)
    assert isinstance(claim, Claimed)
    assert await api.ledger.settle(claim, Settlement(HELD, now, "no answer", needs_release=True))
    assert (await api.send(method, path_of(made, path), change, by=key)).status == 200
    assert len(await api.ledger.rows(1, state=HELD)) == 1, "only the operator sends it again"
    is_over = (await api.ledger.destination_state(name)).paused_until is None
    assert is_over == (reason != PAUSED_BY_OPERATOR and "description" not in change)


async def test_another_kind_of_authentication_needs_a_secret_of_its_own(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key)
    change: JsonObject = {"auth": {"kind": "bearer"}}
    answer = await api.send("PATCH", path_of(made), change, by=key)
    assert (answer.status, answer.paths) == (422, ["/secret"])
    assert (await api.send("PATCH", path_of(made), {**change, "secret": "a-new-token"}, by=key)).status == 200
    assert (await api.send("GET", path_of(made, "/secret"), by=key)).json["secret"] == "a-new-token"
    rotated = await api.send("POST", path_of(made, "/secret/rotate"), by=key)
    assert rotated.json["previous"] == []  # a request has one password, so that two cannot overlap


async def test_who_may_not_see_a_password_cannot_have_it_sent_to_another_host(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key, auth={"kind": "bearer"}, secret="correct-horse")
    manager, seer = await api.token("acme", key, "manage"), await api.token("acme", key, "manage", "reveal_secret")
    for moved in ("https://mine.example.com/in", "https://customer.example.com:8443/in"):
        answer = await api.send("PATCH", path_of(made), {"url": moved}, by=manager)
        assert (answer.status, answer.paths) == (422, ["/secret"])
        given = {"url": moved, "secret": "another-horse"}
        assert (await api.send("PATCH", path_of(made), {**given}, by=manager)).status == 200
    near = {"url": "https://customer.example.com:8443/elsewhere"}
    assert (await api.send("PATCH", path_of(made), {**near}, by=manager)).status == 200
    assert (await api.send("PATCH", path_of(made), {"url": "https://a.example.com/"}, by=seer)).status == 200


async def test_a_secret_is_rotated_with_an_overlap_and_shown_to_who_may_see_it(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key)
    manager, viewer = await api.token("acme", key, "manage"), await api.token("acme", key, "reveal_secret")
    rotated = await api.send("POST", path_of(made, "/secret/rotate"), by=manager)
    assert (rotated.status, rotated.json["secret"] != made["secret"]) == (200, True)
    assert rotated.json["previous"] == [{"valid_until": "2026-09-22T14:13:20.000Z"}]
    assert (await api.send("GET", path_of(made, "/secret"), by=manager)).status == 403
    assert (await api.send("GET", path_of(made, "/secret"), by=viewer)).json == rotated.json
    own = await api.send("POST", path_of(made, "/secret/rotate"), {"secret": SIGNING}, by=key)
    assert (own.json["secret"], len(own.json["previous"])) == (SIGNING, 2)  # type: ignore[arg-type]
    api.clock.time += 86_401
    assert (await api.send("GET", path_of(made, "/secret"), by=key)).json["previous"] == []


async def test_a_private_key_is_followed_by_another_one(api: Subscribers, key: str) -> None:
    """A receiver that verifies v1a alone would reject what an HMAC signs."""
    private = "whsk_" + base64.b64encode(b"p" * 32).decode()
    made = await api.endpoint("acme", key, secret=private)
    new = str((await api.send("POST", path_of(made, "/secret/rotate"), by=key)).json["secret"])
    assert (new.startswith("whsk_"), new != private) == (True, True)
    assert len(base64.b64decode(new.removeprefix("whsk_"))) == 64
    verify_secret(EndpointAuth(), new)


async def test_a_rotation_repairs_an_endpoint_whose_secret_no_key_opens(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key)
    api.secrets.texts["subscribers-key"] = "another key, as long as it has to be"
    assert (await api.send("GET", path_of(made, "/secret"), by=key)).status == 503
    assert (await api.send("POST", path_of(made, "/secret/rotate"), by=key)).status == 200
    assert (await api.send("GET", path_of(made, "/secret"), by=key)).status == 200


async def test_at_most_five_secrets_are_valid_at_a_time(api: Subscribers, key: str) -> None:
    made = await api.endpoint("acme", key)
    statuses = [(await api.send("POST", path_of(made, "/secret/rotate"), by=key)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 409]


# Verification

URL = "https://customer.example.com/in"


class Receiver(FakeFetch):
    """Answers each request as it is told: `{challenge}` in the text stands for the challenge, `{request}` for all."""

    def __init__(self, text: str = "", status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__()
        self.text, self.status, self.headers = text, status, headers

    async def fetch(self, request: Outgoing) -> Fetched:
        self.asked.append(request)
        if self.text == "{request}":
            return Fetched(self.status, self.headers, request.body)
        challenge = json.loads(request.body)["challenge"] if request.body else ""
        return Fetched(self.status, self.headers, self.text.replace("{challenge}", challenge).encode())


async def ready(kind: Verification, receiver: FakeFetch, **fields: object) -> tuple[Subscribers, str, str, JsonObject]:
    api, key = await api_with_tenant(receiver, verify=kind)
    made = await api.endpoint("acme", key, **fields)  # type: ignore[arg-type] # JSON
    return api, key, f"/v1/tenants/acme/endpoints/{made['id']}", made


@pytest.mark.parametrize("text", ['"{challenge}"', '{"challenge": "{challenge}"}', " {challenge}\n"])
async def test_an_endpoint_that_echoes_the_challenge_is_verified(text: str) -> None:
    receiver = Receiver(text)
    api, key, path, made = await ready("challenge", receiver)
    assert made["verified"] is False
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert (answer.status, answer.json["verified"]) == (200, True)
    (asked,) = receiver.asked
    assert json.loads(asked.body)["type"] == "endpoint.verification"
    headers = dict(asked.headers)
    id_, timestamp, signature = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    # It raises where the request is not signed.
    verify_standard(
        webhook_id=id_,
        timestamp=timestamp,
        signatures=signature,
        body=asked.body,
        secrets=[str(made["secret"])],
        now=api.clock.now(),
    )
    await api.send("POST", f"{path}/verify", by=key)
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 200),
        ('{"challenge": 1}', 200),
        ("[" * 4_000, 200),
        ("{challenge}", 500),
        ("{request}", 200),  # a server that repeats whatever it gets has agreed to nothing
    ],
)
async def test_an_endpoint_that_does_not_is_not_and_hears_why_without_its_answer(text: str, status: int) -> None:
    api, key, path, _ = await ready("challenge", Receiver(text, status))
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert (answer.status, answer.code) == (422, "verification_failed")
    assert (await api.send("GET", path, by=key)).json["verified"] is False


@pytest.mark.parametrize("names", [{}, {"customer.example.com": ["10.0.0.1"]}], ids=["out of reach", "private"])
async def test_an_endpoint_that_cannot_be_asked_is_not_verified(names: dict[str, list[str]]) -> None:
    api, key, path, _ = await ready("challenge", FakeFetch(names=names))
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert (answer.status, answer.code) == (422, "verification_failed")


@pytest.mark.parametrize(
    ("headers", "is_verified"),
    [
        ((("webhook-allowed-origin", "hooks.example.com"),), True),
        ((("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "100")), True),
        ((("webhook-allowed-origin", "other.example.com"),), False),
        ((), False),
    ],
)
async def test_cloudevents_handshake_is_an_options_request_that_allows_our_origin(
    headers: tuple[tuple[str, str], ...], is_verified: bool
) -> None:
    receiver = Receiver(headers=headers)
    api, key, path, _ = await ready("cloudevents", receiver, headers={"X-Team": "shop"})
    answer = await api.send("POST", f"{path}/verify", by=key)
    assert answer.status == (200 if is_verified else 422)
    (asked,) = receiver.asked
    assert asked.method == "OPTIONS"
    assert set(asked.headers) == {("X-Team", "shop"), ("webhook-request-origin", "hooks.example.com")}


async def test_another_url_is_to_be_verified_anew_and_anything_else_is_not() -> None:
    api, key, path, _ = await ready("challenge", Receiver("{challenge}"))
    await api.send("POST", f"{path}/verify", by=key)
    assert (await api.send("PATCH", path, {"description": "x"}, by=key)).json["verified"] is True
    assert (await api.send("PATCH", path, {"url": f"{URL}/2"}, by=key)).json["verified"] is False
    test = await api.send("POST", f"{path}/test", {"type": "order.paid"}, by=key)
    assert (test.status, test.code) == (409, "endpoint_inactive")


def test_an_unknown_proof_in_the_slice_ends_the_start() -> None:
    with pytest.raises(SliceFault, match="verify is one of"):
        read_settings({"subscribers": {"verify": "maybe"}})
