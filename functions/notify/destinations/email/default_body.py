"""The mail that nobody had to write: what happened, when, by whom, every field, and the body."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from functions.notify.destinations.email.fields import Row, rows_of, visible
from functions.notify.destinations.email.mail import Attachment
from functions.notify.destinations.email.received_body import ReceivedBody, received_body
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject
from shared.one_line import oneline
from shared.templates import Template
from shared.times import unix_seconds

FOLDER: Final = Path(__file__).parent
NAMES: Final = frozenset({"title", "rule", "preview", "facts", "rows", "more", "body", "origin"})
MORE: Final = "There are more fields; the body has them all."
NAMELESS: Final = "received"
"""The type of an event whose sender gave it none."""


@dataclass(frozen=True, slots=True)
class DefaultBody:
    text: str
    html: str
    attachments: tuple[Attachment, ...]


@cache
def _templates() -> tuple[Template, Template]:
    text, html = (FOLDER / "default.txt.j2").read_text("utf-8"), (FOLDER / "default.html.j2").read_text("utf-8")
    return Template("default text", text, known=NAMES), Template("default html", html, html=True, known=NAMES)


def default_body(delivery: Delivery, event: Event) -> DefaultBody:
    """`event` is the delivery's, whole."""
    body = received_body(event)
    view = _view(delivery, event, body)
    text, html = _templates()
    attachments = (body.attachment,) if body.attachment else ()
    return DefaultBody(text.render(view), html.render(view), attachments)


def _view(delivery: Delivery, event: Event, body: ReceivedBody) -> JsonObject:
    rows = rows_of(event.data)
    title = title_of(event)
    facts = _facts(event)
    width = max(len(name) for name, _ in facts)
    return {
        "title": title,
        "rule": "=" * min(len(title), 72),
        "preview": oneline(" · ".join(f"{row.name}: {row.value}" for row in rows.rows[:6]))[:200],
        "facts": [{"name": name, "padded": name.ljust(width), "value": value} for name, value in facts],
        "rows": [_row(row) for row in rows.rows],
        "more": MORE if rows.more else None,
        "body": {
            "title": body.title,
            "note": body.note,
            "text": body.text,
            "filename": body.attachment.filename if body.attachment else None,
        },
        "origin": f"Event {event.id}, by the route “{visible(delivery.route)}” to “{delivery.destination}”.",
    }


def _row(row: Row) -> Json:
    indented = row.value.replace("\n", "\n    ")
    return {"name": row.name, "value": row.value, "indented": indented, "link": row.link, "cut": row.cut}


def title_of(event: Event) -> str:
    """`password_created` as `Password created`."""
    if event.type == NAMELESS:
        return f"Webhook from {event.source_name}"
    words = re.sub(r"[\s._:/-]+", " ", visible(event.type)).strip()
    return words[:1].upper() + words[1:] if words else f"Webhook from {event.source_name}"


def _facts(event: Event) -> list[tuple[str, str]]:
    found = [("When", _when(event)), ("Who", event.actor), ("About", event.subject), ("Source", event.source_name)]
    return [(name, visible(value)) for name, value in found if value]


def _when(event: Event) -> str:
    """In UTC, to the second: whoever reads it may be anywhere."""
    text = event.time or event.receivedat
    try:
        moment = datetime.fromtimestamp(unix_seconds(text), UTC)
    except (ValueError, OverflowError, OSError):
        return text
    received = "" if event.time else " (received)"
    return f"{moment:%A}, {moment.day} {moment:%B %Y, %H:%M:%S} UTC{received}"
