"""Every example of npm's @octokit/webhooks-examples to the person who caused it, from a list made of their logins."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from functions.notify.recipients.recipient import NoRecipient, Recipients, people_of
from functions.notify.registry import Configured, Recipient
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets
from tests.functional.test_octokit_examples import SECRET, examples, github
from tests.receiving import NAME


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
    people = people_of({"rows": rows, "providers": {NAME: "github"}}, FakeFetch, FakeSecrets({}), FakeClock())
    recipients = Recipients(people, FakeBlobs())
    actor = Configured("mail", "email", None, (5.0,), 15.0, "resend", recipient=Recipient("email", "actor"))
    field = Configured("mail", "email", None, (5.0,), 15.0, "resend", recipient=Recipient("email", "data.sender.login"))

    assert (len(events) > 150, len(logins) > 5) == (True, True)
    for event in events:
        found = await recipients.recipient_of(actor, Delivery(event, "r", "mail"))
        if event.actor is None:
            assert isinstance(found, NoRecipient)
            continue
        assert not isinstance(found, NoRecipient)
        assert found.email == f"p{logins.index(event.actor.lower())}@example.com"
        assert await recipients.recipient_of(field, Delivery(event, "r", "mail")) == found
        stranger = replace(event, source="/sources/shop")
        assert isinstance(await recipients.recipient_of(actor, Delivery(stranger, "r", "mail")), NoRecipient)
