"""Lambda's handlers in the benchmark: their packages, their events, and the stand-in as AWS."""

import asyncio
import json
from pathlib import Path

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.sqs import SqsBus, message_of
from shared.cloud.aws.tables import DELIVERIES
from shared.ports import EVENTS, BusMessage
from shared.signatures.aws_v4 import Credentials
from tests.bench.handlers import package_bytes, queue_event
from tests.bench.pipe import stand_in
from tests.bench.stand_in import recorded_messages

MESSAGE = BusMessage(b"{}", {"ce-id": "1"})


def place_at(host: str) -> AwsPlace:
    return AwsPlace("eu-central-1", lambda: Credentials("AKIDEXAMPLE", "not-a-secret"), f"http://{host}")


def test_a_message_to_sqs_is_the_next_functions_event(tmp_path: Path) -> None:
    async def publish(host: str) -> None:
        bus = SqsBus(place_at(host), {EVENTS: f"http://{host}/1/bench-events"})
        await bus.publish(EVENTS, [MESSAGE])
        bus.close()

    with stand_in(tmp_path) as host:
        asyncio.run(publish(host))
    [record] = json.loads(queue_event(EVENTS, recorded_messages(tmp_path, EVENTS)))["Records"]
    push = message_of(record)
    assert (push.data, push.attributes) == (MESSAGE.data, MESSAGE.attributes)
    assert record["eventSourceARN"].endswith(":bench-events")


def test_nothing_is_found_in_dynamodb(tmp_path: Path) -> None:
    async def get(host: str) -> object:
        store = Dynamo(place_at(host), "bench-", "ledger_unavailable")
        try:
            return await store.get(DELIVERIES, "1")
        finally:
            store.close()

    with stand_in(tmp_path) as host:
        assert asyncio.run(get(host)) is None


def test_a_package_is_smaller_packed(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "one.py").write_text("x = 1\n" * 1_000)
    unpacked, packed = package_bytes(tmp_path)
    assert unpacked == 6_000
    assert packed < 1_000
