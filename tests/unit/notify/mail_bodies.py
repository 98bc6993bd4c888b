"""An event, and the text and the HTML of the mail about it."""

from typing import NamedTuple

from hypothesis import strategies as st

from functions.notify.destinations.email.default_body import (
    default_body,
)
from functions.notify.destinations.email.mail import Attachment
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json
from tests.unit.shared.json_values import values_of

EVENT = Event(
    "e1",
    "/sources/signup-form",
    "password_created",
    "2026-03-01T12:00:05.000Z",
    "00",
    {"customerName": "Chuck U Farley", "eventId": 12345},
    actor="chuckufarley@example.com",
    time="2026-03-01T13:00:00.000+01:00",
)


DELIVERY = Delivery(EVENT, "tell the list", "list")


class Written(NamedTuple):
    text: str
    html: str
    attachments: tuple[Attachment, ...]


def body_of(event: Event) -> Written:
    body = default_body(DELIVERY, event)
    assert body.text is not None
    assert body.html is not None
    return Written(body.text, body.html, body.attachments)


HOSTILE = st.text() | st.sampled_from(["<b>&amp;", "{{ 7 * 7 }}", "{% raw %}", "a.b", "https://example.com/?a=1&b=2"])
DATA: st.SearchStrategy[Json] = values_of(st.none() | st.booleans() | st.integers() | HOSTILE)
