"""The choice between the state folder and the local AWS of a running `hookchain dev`, and the local AWS's backlog."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from deploy.config.local_ports import ports_from
from deploy.config.running_dev import DevFile, remove_dev_file, write_dev_file
from deploy.dev.aws.stack import function_environ
from deploy.history.aws import LocalAws
from deploy.history.local import open_local_ledger, running_aws
from deploy.platforms.local import local_backlogs
from deploy.terminal.command_line import CommandError
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.local.ledger import LocalLedger
from tests.aws.canned import canned
from tests.running.ports import free_port


def begin(folder: Path, apis_port: int | None) -> None:
    """Write the file of a `hookchain dev`, on the local AWS at the port or on the emulated Google Cloud."""
    aws = None if apis_port is None else function_environ(apis_port)
    write_dev_file(folder, DevFile(ports_from(free_port()), aws=aws))


def aws_of(folder: Path) -> LocalAws:
    found = running_aws(folder)
    assert found
    return found


async def test_the_local_aws_is_used_only_while_it_runs(tmp_path: Path) -> None:
    begin(tmp_path, 9005)
    assert aws_of(tmp_path).endpoint == "http://127.0.0.1:9005"
    async with open_local_ledger(tmp_path) as ledger:
        assert isinstance(ledger, DynamoLedger)
    remove_dev_file(tmp_path)
    async with open_local_ledger(tmp_path) as ledger:
        assert isinstance(ledger, LocalLedger)


async def test_the_backlog_counts_what_waits_and_what_a_function_has_and_what_is_delayed_apart(tmp_path: Path) -> None:
    counts = {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "3"}
    counts["ApproximateNumberOfMessagesDelayed"] = "4"
    answers = [web.json_response({"Attributes": counts}), web.json_response({}, status=400)]
    async with canned(*answers) as sqs:
        begin(tmp_path, int(str(sqs.place.endpoint).rpartition(":")[2]))
        first, second, *others = await asyncio.to_thread(local_backlogs, tmp_path, 0.0)
    assert (first.subscription, first.count, first.delayed) == ("hookchain-events", 5, 4)
    assert (second.subscription, second.count) == ("hookchain-deliveries", None)
    assert [each.subscription for each in others[1:]] == [
        "hookchain-events-undelivered",
        "hookchain-deliveries-undelivered",
        "hookchain-dead-letters-undelivered",
    ]


def test_a_local_aws_that_does_not_answer_is_named(tmp_path: Path) -> None:
    port = free_port()
    begin(tmp_path, port)
    with pytest.raises(CommandError, match=f"^http://127.0.0.1:{port}: the local AWS does not answer"):
        local_backlogs(tmp_path, 0.0)
