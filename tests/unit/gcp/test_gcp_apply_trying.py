"""What is tried again while Google does not know everywhere what was made."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from deploy.cloud_access.gcp import PROPAGATION_WAITS_SECONDS, Answer, GcloudFault
from deploy.gcp.apply import Applying, Failure
from deploy.gcp.live import project_number
from deploy.gcp.plan import Action
from deploy.gcp.resource import Command
from tests.unit.gcp.applied import TARGET, Noted


class Answers:
    """A runner that gives these answers in turn, the last of them for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, ...]] = []

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 0) -> Answer:
        self.calls.append(tuple(arguments))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def an_action(name: str, *needs: str) -> Action:
    return Action("create", "topic", name, "", (Command(("pubsub", "topics", "create", name)),), (name,), needs)


NOT_YET = Answer(1, "", "Service account hookchain-push@my-project.iam.gserviceaccount.com does not exist.")


@pytest.mark.parametrize(
    "stderr",
    [
        NOT_YET.stderr,
        "Permission 'iam.serviceaccounts.actAs' denied on service account x@y (or it may not exist).",
        "ABORTED: Please retry, underlying data changed",
        'NOT_FOUND: Cannot find metric(s) that match type = "run.googleapis.com/request_count".',
    ],
)
def test_what_google_does_not_know_everywhere_yet_is_tried_again(stderr: str) -> None:
    not_yet = Answer(1, "", stderr)
    runner, noted = Answers(not_yet, not_yet, Answer(0, "", "")), Noted()
    assert Applying(runner, TARGET, {}, noted, 1, sleep=lambda _: None).apply([an_action("a")]) is None
    assert noted.waited == list(PROPAGATION_WAITS_SECONDS[:2])


@pytest.mark.parametrize(
    "stderr",
    [
        "ERROR: (gcloud.run.services.remove-iam-policy-binding) Policy binding with the specified principal, role, and "
        "condition not found!",
        "ERROR: (gcloud.pubsub.subscriptions.delete) NOT_FOUND: Resource not found (resource=hookchain-x).",
    ],
)
def test_a_deletion_of_what_is_gone_is_done_at_once_and_a_creation_is_not(stderr: str) -> None:
    runner, noted = Answers(Answer(1, "", stderr)), Noted()
    applying = Applying(runner, TARGET, {}, noted, 1, sleep=lambda _: None)
    assert applying.apply([replace(an_action("a"), verb="delete")]) is None
    assert noted.waited == []
    assert applying.apply([an_action("a")]) is not None


def test_it_is_not_tried_for_ever() -> None:
    runner, noted = Answers(NOT_YET), Noted()
    failure = Applying(runner, TARGET, {}, noted, 1, sleep=lambda _: None).apply([an_action("a")])
    assert failure
    assert "does not exist" in failure.message
    assert len(runner.calls) == 1 + len(PROPAGATION_WAITS_SECONDS)


def test_a_try_that_said_no_and_did_it_is_done() -> None:
    runner = Answers(NOT_YET, Answer(1, "", "ALREADY_EXISTS: topic a"))
    assert Applying(runner, TARGET, {}, Noted(), 1, sleep=lambda _: None).apply([an_action("a")]) is None


def test_any_other_error_stops_at_once_with_the_line_to_try() -> None:
    runner = Answers(Answer(0, "", ""), Answer(1, "", "ERROR: no\n"))
    noted = Noted()
    failure = Applying(runner, TARGET, {}, noted, 1).apply([an_action("a"), an_action("b", "a"), an_action("c", "b")])
    assert failure == Failure(an_action("b", "a"), "gcloud pubsub topics create b --project=my-project", "ERROR: no")
    assert noted.done == ["create topic a"]


def test_a_project_that_is_not_there_is_reported_with_the_line_that_asked() -> None:
    runner = Answers(Answer(1, "", "ERROR: (gcloud.projects.describe) it may not exist"))
    with pytest.raises(GcloudFault, match="gcloud projects describe my-project"):
        project_number(runner, TARGET)
