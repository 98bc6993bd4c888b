"""The secrets of endpoints: who sees them, what they are replaced by, and where they are sent."""

import base64

from shared.jsontext import JsonObject
from shared.subscribers.model import EndpointAuth
from shared.subscribers.payload import verify_secret
from tests.fakes.subscribe_api import Subscribers

ENDPOINTS = "/v1/tenants/acme/endpoints"
SIGNING = "whsec_" + base64.b64encode(b"s" * 32).decode()


def path_of(endpoint: JsonObject, action: str = "") -> str:
    return f"{ENDPOINTS}/{endpoint['id']}{action}"


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
