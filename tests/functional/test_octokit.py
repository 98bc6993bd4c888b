"""GitHub's published examples of events: what becomes of them, and whom they name."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from functions.notify.recipients.people_list import people_reader
from functions.notify.recipients.recipient import NoRecipient, Recipients
from functions.notify.registry import DeliveryOptions, RecipientRule
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.signatures.locations import first_value_at
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets
from tests.in_process.receiving import NAME, Receiving

SECRET: Final = "a-github-secret-of-some-length"


def github() -> Receiving:
    return Receiving({"provider": "github", "secret": "github-secret"}, {"github-secret": SECRET}, 1_790_000_000)


def examples(folder: Path) -> Iterator[tuple[str, bytes, Json]]:
    for file in sorted(folder.glob("*/index.json")):
        for event in json.loads(file.read_text(encoding="utf-8")):
            for example in event["examples"]:
                yield event["name"], json.dumps(example, indent=2, ensure_ascii=False).encode(), example


SUBJECTS: Final = ("repository.full_name", "organization.login", "installation.account.login")
TIMED: Final = (
    "push",
    "pull_request",
    "issue",
    "workflow_job",
    "workflow_run",
    "check_suite",
    "discussion",
    "deployment",
    "status",
)


def text_in(example: Json, path: str) -> Json:
    return first_value_at(path.split("."), example)


async def test_all_of_githubs_examples_are_accepted_with_type_action_id_subject_actor_and_time(
    node_package: Callable[[str], Path],
) -> None:
    receiving = github()
    tried: set[str] = set()
    without_subject: set[str] = set()
    timed = 0
    for number, (name, body, example) in enumerate(examples(node_package("@octokit/webhooks-examples"))):
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", name),
            ("X-GitHub-Delivery", f"delivery-{number}"),
            ("X-Hub-Signature-256", signature),
        ]
        [event] = await receiving.events(headers, body)
        assert (event.type, event.deliveryid) == (name, f"delivery-{number}")
        assert event.action == text_in(example, "action")
        assert event.actor == text_in(example, "sender.login")
        subjects = [text for path in SUBJECTS if (text := text_in(example, path))]
        assert event.subject == subjects[0] if subjects else True
        if event.subject is None:
            without_subject.add(name)
        if name.startswith(TIMED):
            assert event.time is not None, (name, event.action)
        timed += event.time is not None
        assert event.data == example
        tried.add(name)
    assert len(tried) > 40
    assert without_subject == {"enterprise", "github_app_authorization"}
    assert timed > 300


# The people that they name


async def received(folder: Path) -> list[Event]:
    receiving = github()
    events: list[Event] = []
    for number, (name, body, _) in enumerate(examples(folder)):
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = [("X-GitHub-Event", name), ("X-GitHub-Delivery", f"d-{number}"), ("X-Hub-Signature-256", signature)]
        events += await receiving.events([("Content-Type", "application/json"), *headers], body)
    return events


async def test_each_event_goes_to_the_one_who_caused_it(node_package: Callable[[str], Path]) -> None:
    events = await received(node_package("@octokit/webhooks-examples"))
    logins = sorted({event.actor.lower() for event in events if event.actor})  # GitHub's have no case
    rows: list[Json] = [
        {"name": f"person-{number}", "email": f"p{number}@example.com", "github": login.upper()}
        for number, login in enumerate(logins)
    ]
    written: JsonObject = {"rows": rows, "providers": {NAME: "github"}}
    read_people = people_reader(written, FakeFetch, FakeSecrets({}), FakeClock())
    recipients = Recipients(read_people, FakeBlobs())
    actor = DeliveryOptions("mail", "email", None, (5.0,), 15.0, "resend", recipient=RecipientRule("email", "actor"))
    field = DeliveryOptions(
        "mail", "email", None, (5.0,), 15.0, "resend", recipient=RecipientRule("email", "data.sender.login")
    )

    assert (len(events) > 150, len(logins) > 5) == (True, True)
    for event in events:
        found = await recipients.find_person(actor, Delivery(event, "r", "mail"))
        if event.actor is None:
            assert isinstance(found, NoRecipient)
            continue
        assert not isinstance(found, NoRecipient)
        assert found.email == f"p{logins.index(event.actor.lower())}@example.com"
        assert await recipients.find_person(field, Delivery(event, "r", "mail")) == found
        stranger = replace(event, source="/sources/shop")
        assert isinstance(await recipients.find_person(actor, Delivery(stranger, "r", "mail")), NoRecipient)
