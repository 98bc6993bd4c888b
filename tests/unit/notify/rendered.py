"""Helpers of test_mail_render and test_mail_mime."""

from functions.notify.destinations.email.mail import Address, Mail
from functions.notify.destinations.email.render import MailWriter
from functions.notify.destinations.email.settings import Settings
from shared.delivery import Delivery
from shared.event import Event
from shared.jsontext import Json, JsonObject
from tests.fakes.mail_settings import mail_settings

SENDER = Address("hooks@example.com", "Hooks")
DATA: JsonObject = {"name": "Ada", "email": "ada@example.com", "link": "javascript:alert(1)"}
EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:05.000Z", "00", DATA)
KEY = "0123456789abcdef" * 4


def settings(**values: Json) -> Settings:
    return Settings.model_validate({"to": ["list@example.com"], **values})


def written(event: Event = EVENT, **values: Json) -> Mail:
    writer = MailWriter(mail_settings(**({"to": "list@example.com"} | values)))
    return writer.write(Delivery(event, "tell the list", "list"), event, SENDER, KEY)
