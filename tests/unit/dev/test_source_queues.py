"""The queues of the local AWS that stand for the buses of sources."""

import json
import shlex

import pytest

from deploy.dev.aws.stack import SourceQueue, sending_line, source_queues
from deploy.topology.buses import BusSource, bus_sources
from functions.receive.bus import object_event
from shared.jsontext import JsonObject
from shared.push import Push

ARN = "arn:aws:sqs:eu-central-1:123456789012:jobs"
RECEIVE: JsonObject = {
    "sources": {
        "jobs": {"bus": {"kind": "sqs", "name": "bus-jobs", "sqs": ARN}},
        "files": {"bus": {"kind": "bucket", "name": "bus-files", "bucket": "mine", "prefix": "in/"}},
        "form": {"auth": []},
    }
}


def source(name: str) -> BusSource:
    return next(each for each in bus_sources(RECEIVE) if each.source == name)


def test_each_source_with_a_bus_has_a_queue_that_receive_knows_by_its_arn() -> None:
    own = "hookchain-bus-files"
    assert source_queues(RECEIVE) == (
        SourceQueue("jobs", ARN),
        SourceQueue(own, f"arn:aws:sqs:us-east-1:000000000000:{own}"),
    )


@pytest.mark.parametrize(("name", "queue"), [("jobs", "jobs"), ("files", "hookchain-bus-files")])
def test_the_command_sends_to_the_queue(name: str, queue: str) -> None:
    *_, content, endpoint = shlex.split(sending_line(source(name), 8085))
    assert json.loads(content)["QueueUrl"] == f"{endpoint}/000000000000/{queue}"


def test_the_message_of_a_bucket_is_one_that_receive_takes() -> None:
    *_, content, _ = shlex.split(sending_line(source("files"), 8085))
    found = object_event(Push(json.loads(content)["MessageBody"].encode(), {}, "1"))
    assert (found.document["bucket"], found.document["name"]) == ("mine", "in/a.txt")
