"""Subscribers: the operator's own users, each with endpoints of their own. A delivery goes to those that match."""

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator

from functions.notify import destination, kind_settings
from shared.jsontext import JsonObject
from shared.subscribers.names import TYPE_PATTERN
from shared.templating.template import is_template

_TYPE: Final = re.compile(TYPE_PATTERN)


def _event_type(text: str) -> str:
    if not is_template(text) and not _TYPE.fullmatch(text):
        raise ValueError("must be a template, or an event type: letters, digits, `_`, `.` and `-`")
    return text


class Settings(kind_settings.KindSettings):
    """The endpoints of your own users, who manage them through the API and the portal: see `subscribers:`.

    tenant          a JMESPath expression over the event: the tenant's id, or a list of at most 100
    type            the event type that endpoints subscribe to; may be a template
    payload         `standard` sends `{"type", "timestamp", "data"}`, `data` the event's data alone
    unknown_tenant  what becomes of an event of a tenant that does not exist: `dead_letter`, or `ignore`
    """

    example: ClassVar[JsonObject] = {"tenant": "data.accountId", "type": "{{ type }}", "payload": "standard"}
    extras: ClassVar[tuple[str, ...]] = ("crypto",)  # secrets are sealed by AES, and `whsk_` secrets sign by Ed25519

    tenant: kind_settings.EventExpression
    type: Annotated[kind_settings.LineTemplate, AfterValidator(_event_type)] = "{{ type }}"
    payload: Literal["standard", "data"] = "standard"
    unknown_tenant: Literal["dead_letter", "ignore"] = "dead_letter"


def connect(name: str, settings: Settings, context: destination.Context) -> destination.Destination:
    # Imported here, because the compiler of the configuration needs only the settings.
    from functions.notify.subscribers.fan_out import FanOut

    ignores_unknown = settings.unknown_tenant == "ignore"
    return FanOut(name, settings.tenant, settings.type, context, context.subscribers(), ignores_unknown)
