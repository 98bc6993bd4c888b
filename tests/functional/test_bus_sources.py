"""A message on the emulated Pub/Sub, through receive as it is served, to the events; and what `bus` publishes there."""

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.dev.pubsub.topology import bus_topology, topology
from functions.notify.http_kind import example_delivery
from shared.delivery import Delivered
from shared.jsontext import JsonObject, mapping_at, objects_at, to_json, value_at
from shared.ports import DEAD_LETTERS, EVENTS
from shared.settings import LOCAL_PROJECT
from tests.fakes.pushes import push_environment
from tests.functional.test_bus import attempted
from tests.running.emulation import Emulation
from tests.running.ports import free_port
from tests.running.processes import Request, functions_framework, post, started, wait_for

CONFIG: Final = """
sources:
  orders: {bus: {pubsub: orders}, schema: {type: object}}
  uploads: {bus: {bucket: my-files}}
"""
PLACE: Final = f"/v1/projects/{LOCAL_PROJECT}"


def receive_slice() -> JsonObject:
    return compile_config(parse_config(CONFIG, "test.yaml", Path()))["receive"]


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[tuple[Emulation, int]]:
    """Return the emulated Pub/Sub and the port of receive, to which it pushes."""
    port, slice_file = free_port(), tmp_path / "receive.json"
    slice_file.write_text(to_json(receive_slice()))
    with Emulation(tmp_path / "state").running() as emulation:
        brought = bus_topology(LOCAL_PROJECT, port, receive_slice())
        emulation.lay(topology(LOCAL_PROJECT, "", 1, 1) + brought)
        for topic in (EVENTS, DEAD_LETTERS):
            emulation.ask("PUT", f"{PLACE}/subscriptions/test-{topic}", {"topic": f"{PLACE[4:]}/topics/{topic}"})
        environ = {
            "HOOKCHAIN_SLICE": str(slice_file),
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{emulation.port}",
            **push_environment(port),
        }
        command = functions_framework("functions/receive", "receive", port)
        with started(command, environ, port, Request("/nowhere", b"", {}), ready="404"):
            yield emulation, port


def publish(emulation: Emulation, topic: str, data: bytes, **attributes: str) -> None:
    message: JsonObject = {"data": base64.b64encode(data).decode(), "attributes": {**attributes}}
    status, _ = emulation.ask("POST", f"{PLACE}/topics/{topic}:publish", {"messages": [message]})
    assert status == 200


def pulled(emulation: Emulation, topic: str) -> list[JsonObject]:
    """Return the documents on the topic since the last time."""
    name = f"{PLACE}/subscriptions/test-{topic}"
    _, answer = emulation.ask("POST", f"{name}:pull", {"maxMessages": 100, "returnImmediately": True})
    documents: list[JsonObject] = []
    for each in objects_at(answer, "receivedMessages"):
        documents.append(json.loads(base64.b64decode(str(value_at(each, "message", "data")))))
        emulation.ask("POST", f"{name}:acknowledge", {"ackIds": [each["ackId"]]})
    return documents


def test_what_others_publish_becomes_events_and_nobody_can_post_them(bus: tuple[Emulation, int]) -> None:
    emulation, port = bus
    forged = {"message": {"data": base64.b64encode(b'{"forged": true}').decode(), "messageId": "1"}}
    headers = {"Content-Type": "application/json"}
    assert post(port, Request("/orders", json.dumps(forged).encode(), headers)) == 401

    publish(emulation, "orders", b'{"n": 1}', **{"ce-type": "order.created"})
    publish(emulation, "orders", b"[1]")
    publish(
        emulation, "bus-uploads", b'{"size": "3"}', eventType="OBJECT_DELETE", bucketId="my-files", objectId="a.csv"
    )
    url: JsonObject = {"api_url": emulation.url, "allow_private": True}
    settings: JsonObject = {"pubsub": f"projects/{LOCAL_PROJECT}/topics/orders", **url}
    assert isinstance(asyncio.run(attempted(settings, example_delivery({"n": 2}))), Delivered)

    events: list[JsonObject] = []
    letters: list[JsonObject] = []

    def all_are_there() -> bool:
        events.extend(pulled(emulation, EVENTS))
        letters.extend(pulled(emulation, DEAD_LETTERS))
        return len(events) >= 3 and len(letters) >= 1

    wait_for(all_are_there)
    assert len(events) == 3
    assert {(str(each["type"]), json.dumps(each["data"])[:8]) for each in events} == {
        ("order.created", '{"n": 1}'),
        ("order.created", '{"n": 2}'),
        ("delete", '{"event"'),
    }
    assert [each["hops"] for each in events if each["data"] == {"n": 2}] == [1]
    [letter] = letters
    data = mapping_at(letter, "data")
    assert (data["code"], data["message"]) == ("message_rejected", "[1]")
