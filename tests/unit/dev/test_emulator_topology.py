"""A local bundle's topics and subscriptions, and who may speak to the emulation."""

import sys

import pytest

from deploy.dev.local_server import is_local, owner_in
from deploy.dev.pubsub.resources import subscription_from, topic_from
from deploy.dev.pubsub.topology import topology
from shared.jsontext import JsonObject
from shared.settings import LOCAL_PUSH_ACCOUNT

BUNDLE = topology("hookchain-local", "blue-", 8081, 8082)
MAPPED = "0000000000000000FFFF0000"
SETTINGS = {resource.name.removeprefix("projects/hookchain-local/"): resource.settings for resource in BUNDLE}


def token_for(audience: str) -> JsonObject:
    return {"serviceAccountEmail": LOCAL_PUSH_ACCOUNT, "audience": audience}


def test_each_topic_is_pushed_to_the_function_that_consumes_it() -> None:
    pushed = {
        str(settings["topic"]).rpartition("/")[2]: settings["pushConfig"]
        for name, settings in SETTINGS.items()
        if name.startswith("subscriptions/")
    }
    assert pushed == {
        "blue-events": {"pushEndpoint": "http://127.0.0.1:8081/", "oidcToken": token_for("http://127.0.0.1:8081")},
        "blue-deliveries": {"pushEndpoint": "http://127.0.0.1:8082/", "oidcToken": token_for("http://127.0.0.1:8082")},
        "blue-dead-letters": {
            "pushEndpoint": "http://127.0.0.1:8082/dead-letters",
            "oidcToken": token_for("http://127.0.0.1:8082"),
        },
    }


def test_the_api_accepts_and_returns_every_setting() -> None:
    for resource in BUNDLE:
        is_topic = "/topics/" in resource.name
        name, settings = resource.name, resource.settings
        answered = topic_from(name, settings) if is_topic else subscription_from(name, settings).resource
        assert resource.settings.items() <= answered.items()


@pytest.mark.parametrize(
    "url",
    [
        "//127.0.0.1.evil.example",
        "http://evil.example",
        "null",
        "",
        "//0.0.0.0",
        "http://localhost.evil.example",
        "//[",
    ],
)
def test_no_other_name_is_local(url: str) -> None:
    assert not is_local(url)


@pytest.mark.parametrize(
    ("row", "owner"),
    [
        ("0100007F:D431 0100007F:1F95 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 x", 1000),
        ("0100007F:D431 0100007F:1F95 06 00000000:00000000 00:00000000 00000000     0        0 0 3 x", None),
        ("0100007F:1F95 0100007F:D431 01 00000000:00000000 00:00000000 00000000     7        0 4712 1 x", None),
        (f"{MAPPED}0100007F:D431 {MAPPED}0100007F:1F95 01 0:0 0:0 0  1000  0 4711 1 x", 1000),
    ],
    ids=["held", "closed", "our own end", "over an IPv6 socket"],
)
@pytest.mark.skipif(sys.byteorder != "little", reason="the rows are a little-endian machine's")
def test_a_connections_owner_is_who_holds_its_clients_end(row: str, owner: int | None) -> None:
    assert owner_in([f"  1: {row}"], ("127.0.0.1", 54_321), ("127.0.0.1", 8_085)) == owner
