"""A client library of somebody else against the emulated Pub/Sub, unchanged."""

from pathlib import Path

import pytest

from tests.running.emulation import Emulation

PROJECT = "projects/p1"


async def test_gcloud_aio_finds_the_emulation_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pubsub = pytest.importorskip("gcloud.aio.pubsub", reason="pip install gcloud-aio-pubsub (Python 3.11.3 or newer)")
    topic, name = f"{PROJECT}/topics/events", f"{PROJECT}/subscriptions/reader"
    with Emulation(tmp_path).running() as emulation:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{emulation.port}")
        async with pubsub.PublisherClient() as publisher, pubsub.SubscriberClient() as subscriber:
            await publisher.create_topic(topic)
            await subscriber.create_subscription(name, topic)
            answer = await publisher.publish(topic, [pubsub.PubsubMessage(b"hello", kind="one")])
            (received,) = await subscriber.pull(name, max_messages=10)
            assert (received.data, received.attributes) == (b"hello", {"kind": "one"})
            assert answer["messageIds"] == [received.message_id]
            await subscriber.modify_ack_deadline(name, [received.ack_id], 0)  # so that it comes again
            (again,) = await subscriber.pull(name, max_messages=10)
            assert again.message_id == received.message_id
            await subscriber.acknowledge(name, [again.ack_id])
            patch = {"subscription": {"ackDeadlineSeconds": 30}, "updateMask": "ackDeadlineSeconds"}
            assert (await subscriber.patch_subscription(name, patch))["ackDeadlineSeconds"] == 30
            assert [each["name"] for each in (await subscriber.list_subscriptions(PROJECT))["subscriptions"]] == [name]
            assert await publisher.list_topics(PROJECT) == {"topics": [{"name": topic}]}
            await subscriber.delete_subscription(name)
