"""One line on standard output, which Cloud Logging and CloudWatch keep: for metrics, alerts and exports of logs.

Each delivery writes one line. If the process dies after the line and before the ledger knows it, there is a second
line with the same `delivery_id`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Final

from pydantic import Field

from functions.notify import bounded_texts, destination, http_kind, kind_settings
from shared import claim_check, jsontext, logs, ports
from shared.delivery import Delivered, Delivery, Outcome, RetryLater
from shared.event import view_of

MAX_FIELDS: Final = 50
MAX_CHARACTERS: Final = 1_000
"""Of the message and of each field: a line stays far below the 256 KB that both platforms take."""
MAX_INTEGER: Final = 2**63
_UNREADABLE: Final = dict.fromkeys(
    (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), " "
)
"""Controls, of which JSON makes six characters each or none at all: a terminal may obey them, or end the line there."""

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class Settings(kind_settings.KindSettings):
    """A line in the log of notify, for metrics and alerts of Cloud Logging and CloudWatch.

    message   a template
    severity  DEBUG, INFO, NOTICE, WARNING, ERROR or CRITICAL, or a template that results in one of them
    fields    for each field the JMESPath expression of its value over the event. Nothing else of the event is written
    """

    example: ClassVar[jsontext.JsonObject] = {
        "message": "order {{ data.number }}",
        "severity": "NOTICE",
        "fields": {"total": "data.total", "country": "data.customer.country"},
    }

    message: kind_settings.LineTemplate = "{{ type }} from {{ source }}"
    severity: Annotated[kind_settings.LineTemplate, kind_settings.one_of(*logs.SEVERITIES)] = "INFO"
    fields: dict[FieldName, kind_settings.EventExpression] = Field(default_factory=dict, max_length=MAX_FIELDS)


@dataclass(slots=True)
class LogDestination:
    """The destination. Nothing recognises a repeated line."""

    dedupes_repeats = False

    settings: Settings
    blobs: ports.Blobs | None

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        if delivery.event.dataref is not None:
            delivery = replace(delivery, event=await claim_check.checked_out(delivery.event, self.blobs))
        with bounded_texts.bounded_templates():
            severity, message, members = line_of(delivery, self.settings)
        try:
            logs.write_line(severity, message, members)
        except OSError as error:
            return RetryLater(f"standard output takes no line: {type(error).__name__}")
        return Delivered("a line in the log")


def connect(name: str, settings: Settings, context: destination.Context) -> LogDestination:
    return LogDestination(settings, context.blobs)


def preview(delivery: Delivery, settings: Settings) -> Iterator[str]:
    """Yield the line that the delivery would write, member by member. Raises Permanent."""
    severity, message, members = line_of(delivery, settings)
    yield f"log: a line of the severity {severity}"
    yield f"message: {message}"
    yield from (f"{name}: {jsontext.to_json(value)}" for name, value in members.items() if value is not None)


def line_of(delivery: Delivery, settings: Settings) -> tuple[str, str, jsontext.JsonObject]:
    """Return the severity, the message, and the further members of the line.

    What the event says is in the message and in `fields`, apart from Hookchain's own members. Raises Permanent.
    """
    event = delivery.event
    view = http_kind.template_view(delivery)
    event_view = view_of(event)
    members: jsontext.JsonObject = {
        "log": delivery.destination,
        "source": event.source_name,
        "event_id": event.id,
        "delivery_id": delivery.id,
        "trace": event.trace_id,
        "fields": {
            name: _bounded(bounded_texts.compiled_expression(text).search(event_view))
            for name, text in settings.fields.items()
        },
    }
    severity = kind_settings.rendered_choice("severity", settings.severity, view, logs.SEVERITIES)
    return (
        severity,
        bounded_texts.cut(http_kind.rendered_line("message", settings.message, view), MAX_CHARACTERS),
        members,
    )


def _bounded(value: jsontext.Json) -> jsontext.Json:
    """Return the value as one line can hold it; the beginning of its text where it is longer than a field may be."""
    if isinstance(value, str):
        return bounded_texts.cut(value.translate(_UNREADABLE), MAX_CHARACTERS)
    is_long = isinstance(value, int) and abs(value) >= MAX_INTEGER
    if not is_long and not isinstance(value, list | dict):
        return value
    text = jsontext.to_json(value).translate(_UNREADABLE)
    if is_long or len(text) > MAX_CHARACTERS:
        return bounded_texts.cut(text, MAX_CHARACTERS)
    bounded: jsontext.Json = json.loads(text.encode("utf-8", "replace"))
    return bounded
