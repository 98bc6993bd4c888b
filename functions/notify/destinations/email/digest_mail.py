"""The mail of a digest: its events by their kind, newest first. Loaded lazily, because few mails are digests.

templates/digest.txt and templates/digest.html lay it out. They have no link: a digest is made of words of many senders.
"""

from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from functions.notify.destinations.email import default_mail, mail
from functions.notify.digests import digest_text
from functions.notify.digests.digest import DigestData, Listed, Section, is_digest, read_digest, sections_of
from functions.notify.digests.quiet_hours import zone_of
from functions.notify.message_text import visible
from shared.delivery import Delivery
from shared.event import oneline

MAX_PREVIEW_LINES: Final = 3
MAX_PREVIEW_CHARACTERS: Final = 200


class _ShownSection(NamedTuple):
    """The events of one kind. `events` are pairs of an event's line and of when, and by whom, it came."""

    title: str
    event_count: str
    events: list[tuple[str, str]]
    not_shown: str


def digest_mail(delivery: Delivery, timezone: str | None = None) -> tuple[str, mail.MailBody] | None:
    """Return the subject and the body of the mail; None for a delivery that is no digest.

    `timezone` is the recipient's, UTC by default.
    """
    if not is_digest(delivery):
        return None
    digest = read_digest(delivery.event)
    zone = zone_of(timezone)
    lines = [digest_text.line_of(event) for event in digest.events[:MAX_PREVIEW_LINES]]
    view = {
        "title": digest_text.digest_title(digest),
        "preview": " | ".join(lines)[:MAX_PREVIEW_CHARACTERS],
        "notes": [
            digest_text.period_of(digest, timezone),
            *([digest_text.unlisted_text(digest)] if digest.unlisted else []),
        ],
        "sections": [_shown(section, digest, zone) for section in sections_of(digest)],
        "origin": f'Digest {delivery.event.id}, to "{delivery.destination}".',
    }
    text, html = (
        visible(default_mail.templates().get_template(name).render(view)) for name in ("digest.txt", "digest.html")
    )
    return digest_text.digest_title(digest), mail.MailBody(text, html)


def _shown(section: Section, digest: DigestData, zone: ZoneInfo) -> _ShownSection:
    day = digest_text.shared_day(digest, zone)
    events = [(digest_text.line_of(event), _about(event, zone, day)) for event in section.events]
    return _ShownSection(
        digest_text.section_title(section, digest), f"({section.count:,})", events, _not_shown(section)
    )


def _about(event: Listed, zone: ZoneInfo, day: str) -> str:
    """Return when the event was received, and who caused it where its line does not say so.

    `day` is the day of all events, which is not repeated; empty if they are of several days.
    """
    at = digest_text.moment(event.receivedat, zone, day)
    actor = visible(oneline(event.actor or ""))
    by = f", by {digest_text.short(actor)}" if actor and actor not in digest_text.line_of(event) else ""
    return f"{at}{by}"


def _not_shown(section: Section) -> str:
    """Return how many events are counted and not listed; empty if none is."""
    count = section.unlisted
    if not count:
        return ""
    if not section.events:
        return f"{digest_text.events_text(count)} not shown"
    return "1 more event not shown" if count == 1 else f"{count:,} more events not shown"
