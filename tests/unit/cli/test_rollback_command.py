"""`hookchain rollback-gcp` moves the traffic to the revision before the one that serves."""

import json
import os
from collections.abc import Sequence
from typing import ClassVar

import pytest

from deploy.cloud_access.gcp import Answer
from shared.jsontext import Json, mapping_at
from tests.fakes.command import Command
from tests.gcloud.flags import faults, known_commands


def revision(name: str, at: str, ready: str = "True") -> Json:
    return {
        "metadata": {"name": name, "creationTimestamp": at},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


class Gcloud:
    """Three services: receive was deployed once, transform and notify again an hour later."""

    calls: ClassVar[list[list[str]]] = []

    def __init__(self, _: str | None = None) -> None:
        self.revisions: dict[str, list[Json]] = {
            "receive": [revision("receive-1", "2026-03-01T10:00:00Z")],
            "transform": [
                revision("transform-1", "2026-03-01T10:00:00Z"),
                revision("transform-2", "2026-03-01T10:30:00Z", "False"),
                revision("transform-3", "2026-03-01T11:00:00Z"),
            ],
            "notify": [revision("notify-1", "2026-03-01T10:00:00Z"), revision("notify-2", "2026-03-01T11:01:00Z")],
        }

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 600.0) -> Answer:
        assert not list(faults(arguments, known_commands(None)))
        Gcloud.calls.append(list(arguments))
        text = " ".join(arguments)
        if arguments[:3] == ["run", "services", "list"]:
            services: Json = [{"metadata": {"name": f"hookchain-{each}"}} for each in self.revisions]
            return Answer(0, json.dumps(services), "")
        function = next(each for each in self.revisions if f"hookchain-{each}" in text)
        if "describe" in arguments:
            last = mapping_at(self.revisions[function][-1])
            assert isinstance(last["metadata"], dict)
            traffic: Json = [{"revisionName": last["metadata"]["name"], "percent": 100}]
            return Answer(0, json.dumps({"status": {"traffic": traffic}}), "")
        return Answer(0, json.dumps(self.revisions[function]) if "list" in arguments else "", "")


@pytest.fixture(autouse=True)
def _gcloud(monkeypatch: pytest.MonkeyPatch) -> None:
    Gcloud.calls = []
    monkeypatch.setattr("deploy.cli.gcp_deployment.Gcloud", Gcloud)


@pytest.fixture
def roll_back(command: Command) -> Command:
    return command.partial("rollback-gcp", "--project", "my-project", "--env-file", os.devnull)


def moved() -> list[str]:
    return [each for call in Gcloud.calls if "update-traffic" in call for each in call if "to-revisions" in each]


def test_the_functions_of_the_last_deployment_return_to_the_revision_before(roll_back: Command) -> None:
    printed = roll_back()
    assert moved() == ["--to-revisions=transform-1=100", "--to-revisions=notify-1=100"]
    assert "transform: transform-1 serves now, instead of transform-3" in printed
    assert "A delivery that it cannot read becomes a dead letter" in printed


def test_a_function_without_an_earlier_revision_stays(roll_back: Command) -> None:
    assert "there is no earlier revision" in roll_back("--function", "receive", code=1)
    assert not moved()
