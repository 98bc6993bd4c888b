"""A tenant that was deleted and made again under the same id sees nothing of its former life.

What a tenant was owed stays in the stores as long as events do; only `hookchain forget --tenant` erases it sooner.
"""

from dataclasses import dataclass

from shared.jsontext import JsonObject
from tests.fakes.subscribe_api import Subscribers
from tests.unit.subscribe.ledgers import attempted

ALL = ("view", "manage", "resend", "reveal_secret")
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
