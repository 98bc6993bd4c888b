"""The mail of a digest, as text and as HTML: its events by their kind, newest first, one below the other.

It has no link: a digest is made of words of many senders. What it is given is text, and becomes HTML only here.
"""

from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from functions.notify.destinations.email.default_body import MailBody
from functions.notify.destinations.email.default_page import BREAK, LAYOUT, MAX_RULE, NOTE, as_html, framed
from functions.notify.digest_text import (
    digest_title,
    events_text,
    line_of,
    moment,
    one_day_of,
    period_of,
    section_title,
    short,
    unlisted_text,
)
from functions.notify.gathering.digest_data import DigestData, Listed, Section, read_digest, sections_of
from functions.notify.gathering.times import zone_of
from functions.notify.message_text import visible
from shared.delivery import Delivery
from shared.event import oneline

MAX_PREVIEW_LINES: Final = 3
MAX_PREVIEW_CHARACTERS: Final = 200
_H2: Final = (
    "class='strong' dir='auto' style='margin:0 0 6px;font-size:15px;line-height:21px;font-weight:600;color:#12161c;"
    f"{BREAK}'"
)
_COUNT: Final = "class='soft' style='color:#667080;font-weight:400;'"
_LIST: Final = (
    f"class='line' width='100%' {LAYOUT} style='border-top:2px solid #dfe3e8;border-collapse:collapse;"
    "font-size:15px;line-height:21px;'"
)
_EVENT: Final = (
    "class='value line' valign='top' dir='auto' style='padding:9px 0;border-bottom:1px solid #eceff2;color:#12161c;"
    f"{BREAK}'"
)
_WHEN: Final = "class='soft' style='color:#667080;font-size:13px;line-height:18px;'"


class Times(NamedTuple):
    """The form of a mail's times: in the recipient's time zone, and without the day where there is one only.

    A day is None if the events are of several.
    """

    timezone: str | None
    zone: ZoneInfo
    day: str | None

    def of(self, event: Listed) -> str:
        text = moment(event.receivedat, self.zone)
        return text.removeprefix(f"{self.day}, ") if self.day else text


def digest_mail(delivery: Delivery, timezone: str | None = None) -> tuple[str, MailBody]:
    """Return the subject and the body of the mail. `timezone` is the recipient's."""
    digest, zone = read_digest(delivery.event), zone_of(timezone)
    times = Times(timezone, zone, one_day_of(digest, zone))
    return digest_title(digest), MailBody(_text(digest, delivery, times), _html(digest, delivery, times))


def _text(digest: DigestData, delivery: Delivery, times: Times) -> str:
    title = digest_title(digest)
    lines = [title, "=" * min(len(title), MAX_RULE), "", period_of(digest, times.timezone)]
    if digest.unlisted:
        lines.append(unlisted_text(digest))
    for section in sections_of(digest):
        heading = f"{section_title(section, digest)} ({section.count:,})"
        lines += ["", heading, "-" * min(len(heading), MAX_RULE)]
        for event in section.events:
            lines += [line_of(event), f"    {_about(event, times)}"]
        if section.unlisted:
            lines.append(_not_shown(section))
    return "\n".join([*lines, "", "-- ", _origin(delivery)])


def _html(digest: DigestData, delivery: Delivery, times: Times) -> str:
    title = as_html(digest_title(digest))
    preview = " | ".join([line_of(event) for event in digest.events[:MAX_PREVIEW_LINES]])
    notes = [period_of(digest, times.timezone), *([unlisted_text(digest)] if digest.unlisted else [])]
    head = "".join([f"\n<p {NOTE}>{as_html(note)}</p>" for note in notes])
    sections = "\n".join(
        [_html_section(section, section_title(section, digest), times) for section in sections_of(digest)]
    )
    content = f"<tr><td class='side' style='padding:10px 30px 6px;'>{head}\n</td></tr>\n{sections}"
    return framed(title, as_html(preview[:MAX_PREVIEW_CHARACTERS]), content, as_html(_origin(delivery)))


def _html_section(section: Section, title: str, times: Times) -> str:
    events = "".join([_html_event(line_of(event), _about(event, times)) for event in section.events])
    rest = (
        f"\n<tr><td {_EVENT}><span {_WHEN}>{as_html(_not_shown(section))}</span></td></tr>" if section.unlisted else ""
    )
    return f"""\
<tr><td class='side' style='padding:12px 30px 14px;'>
<h2 {_H2}>{as_html(title)} <span {_COUNT}>({section.count:,})</span></h2>
<table role='presentation' {_LIST}>{events}{rest}
</table>
</td></tr>"""


def _html_event(line: str, about: str) -> str:
    return f"\n<tr><td {_EVENT}>{as_html(line)}<br><span {_WHEN}>{as_html(about)}</span></td></tr>"


def _about(event: Listed, times: Times) -> str:
    """Return when the event was received, and who caused it where its line does not say so."""
    actor = visible(oneline(event.actor or ""))
    by = f", by {short(actor)}" if actor and actor not in line_of(event) else ""
    return f"{times.of(event)}{by}"


def _not_shown(section: Section) -> str:
    if not section.events:
        return f"{events_text(section.unlisted)} not shown"
    return "1 more event not shown" if section.unlisted == 1 else f"{section.unlisted:,} more events not shown"


def _origin(delivery: Delivery) -> str:
    return f'Digest {delivery.event.id}, to "{visible(delivery.destination)}".'
