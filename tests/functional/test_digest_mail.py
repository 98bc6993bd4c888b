"""Every example of npm's @octokit/webhooks-examples in digests, and what a phone shows of their mails."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from functions.notify.destinations.email.email import MailWriter
from functions.notify.destinations.email.mail import parse_address
from functions.notify.digests.digest import read_digest
from functions.notify.digests.settings import Digest, GatherSettings
from shared.delivery import Delivery
from shared.event import Event
from tests.fakes.destinations import Options
from tests.fakes.mail_settings import mail_settings
from tests.fakes.notifier import FakeNotifier
from tests.functional.test_octokit import examples
from tests.running.chromium import chromium_or_skip, chromium_page

PHONE_PIXELS: Final = 360
GATHER: Final = GatherSettings(digest=Digest(900.0, "data.repository.full_name"), max_events=200)
SENDER: Final = parse_address("hookchain@example.com")


async def test_each_example_is_in_one_digest_and_no_digest_is_wider_than_a_phone(
    node_package: Callable[[str], Path], tmp_path: Path
) -> None:
    sent, notifier = Counter[str](), digesting()
    for number, (name, _, example) in enumerate(examples(node_package("@octokit/webhooks-examples"))):
        event = Event(f"{number:032x}", "/sources/github", name, "2026-09-21T14:13:20.000Z", f"{number:064x}", example)
        await notifier.take(Delivery(event, "tell", "crm"))
        sent[name] += 1
    notifier.clock.advance(960)
    await notifier.sweep_and_take()
    told = Counter[str]()
    mails: list[str] = []
    for delivery in notifier.crm.delivered:
        if delivery.merged == 1:
            told[delivery.event.type] += 1
            continue
        for kind in read_digest(delivery.event).kinds:
            told[kind.type] += kind.count
        mail = MailWriter(mail_settings()).write(delivery, SENDER, "k")
        assert mail.html is not None
        assert "href" not in mail.html
        mails.append(mail.html)
    assert told == sent
    assert sum(sent.values()) > 300
    mail_file = tmp_path / "mail.html"
    mail_file.write_text(max(mails, key=len), encoding="utf-8")
    async with chromium_page(chromium_or_skip(), tmp_path / "profile") as page:
        await page.look(PHONE_PIXELS, 800)
        await page.open(mail_file.as_uri())
        assert await page.run("document.documentElement.scrollWidth") == PHONE_PIXELS


def digesting() -> FakeNotifier:
    return FakeNotifier(options=Options(gather=GATHER))
