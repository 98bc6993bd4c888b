"""What is tried again while Google does not know everywhere what was made."""

import threading
import time
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
        "Service account x@y was not found, verify that the caller has the 'iam.serviceAccounts.actAs' permission",
        "Cloud Run Service Agent x@y must have permission to read the image, r/p/i. Ensure that the URL is correct. "
        "If you just enabled the Cloud Run API, the permissions might take a few minutes to propagate.",
        "ABORTED: Please retry, underlying data changed",
        "ABORTED: Aborted due to cross-transaction contention. This occurs when multiple transactions attempt to",
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
        "ERROR: (gcloud.iam.service-accounts.delete) NOT_FOUND: Service account x@y does not exist.",
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


class FailsBesideAnother:
    """A runner whose `a` fails while `b` goes on, and ends well a little later."""

    def __init__(self, a_failed: threading.Event) -> None:
        self.begun: list[str] = []
        self.b_began = threading.Event()
        self.a_failed = a_failed

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 0) -> Answer:
        name = arguments[-1]
        self.begun.append(name)
        if name == "a":
            self.b_began.wait()
            return Answer(1, "", "ERROR: no")
        self.b_began.set()
        self.a_failed.wait()
        time.sleep(0.1)  # in which `apply` notices the failure
        return Answer(0, "", "")


class NotesFailure(Noted):
    def __init__(self) -> None:
        super().__init__()
        self.failed = threading.Event()

    def ended(self, action: Action, seconds: float, failed: bool) -> None:
        super().ended(action, seconds, failed)
        if failed:
            self.failed.set()


def test_what_goes_on_beside_a_failure_is_waited_for_and_nothing_new_is_begun() -> None:
    noted = NotesFailure()
    runner = FailsBesideAnother(noted.failed)
    actions = [an_action("a"), an_action("b"), an_action("c"), an_action("d", "b")]
    failure = Applying(runner, TARGET, {}, noted, 2).apply(actions)
    assert failure
    assert failure.action == actions[0]
    assert sorted(runner.begun) == ["a", "b"]
    assert noted.done == ["create topic b"]


def test_a_project_that_is_not_there_is_reported_with_the_line_that_asked() -> None:
    runner = Answers(Answer(1, "", "ERROR: (gcloud.projects.describe) it may not exist"))
    with pytest.raises(GcloudFault, match="gcloud projects describe my-project"):
        project_number(runner, TARGET)
