"""The model of `subscribers`: the API and the portal for the operator's own users, and the types of events they get."""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, JsonValue, StringConstraints, Tag

from deploy.config.models.source import Origin, PublicUrl
from shared.config.rules import Name, Seconds, listed
from shared.config.values import Model
from shared.subscribers.names import TYPE_PATTERN

MAX_EVENT_TYPES: Final = 1_000
MAX_EXAMPLES: Final = 20
_LOGO: Final = re.compile(r"https://[^\s\x00-\x20\x7f-\uffff\\\"'<>;,]+")


def _logo(text: str) -> str:
    if not _LOGO.fullmatch(text):
        raise ValueError("must be the URL of an image, such as https://www.example.com/logo.svg")
    return text


class PortalConfig(Model):
    """The page for your users.

    name     the name of your product
    origins  the origins of your pages that may embed it
    logo     the URL of an image
    """

    name: Annotated[str, Field(max_length=100)] = ""
    origins: Annotated[list[Origin], BeforeValidator(listed)] = Field(default=[], max_length=50)
    logo: Annotated[str, AfterValidator(_logo)] | None = None


class LimitsConfig(Model):
    """The most of each that a tenant or one of its endpoints may have.

    endpoints          endpoints of a tenant
    headers, fields    further headers and extra fields of an endpoint
    types              patterns of event types of an endpoint
    filter_characters  characters of an endpoint's filter; 0 allows none
    """

    endpoints: Annotated[int, Field(ge=1, le=10_000)] = 20
    headers: Annotated[int, Field(ge=0, le=50)] = 10
    fields: Annotated[int, Field(ge=0, le=100)] = 20
    types: Annotated[int, Field(ge=1, le=500)] = 50
    filter_characters: Annotated[int, Field(ge=0, le=500)] = 500


class TellConfig(Model):
    """The destinations that tell what happens to endpoints.

    operator  the destination that gets operational events, such as `endpoint.disabled`
    owners    an `email` destination, by which a tenant is told that its endpoint was disabled
    """

    operator: Name | None = None
    owners: Name | None = None


EventTypeName = Annotated[str, StringConstraints(pattern=f"^(?:{TYPE_PATTERN})$")]


class EventTypeConfig(Model):
    """A type of events that tenants can subscribe to.

    schema    the JSON Schema 2020-12 of an event's data, or the name of its file
    examples  examples of an event's data, which must fit the schema. The first is sent as a test event
    """

    description: Annotated[str, Field(max_length=10_000)] = ""
    group: Annotated[str, Field(max_length=100)] = ""
    schema_: dict[str, JsonValue] | str | None = Field(None, alias="schema")
    examples: list[JsonValue] = Field(default=[], max_length=MAX_EXAMPLES)
    deprecated: bool = False


class EventTypeFiles(Model):
    """Files beside the configuration, each YAML or JSON: event types as they would stand here, an OpenAPI 3.1 document
    with `webhooks`, or the JSON Schema of one event type, which has the file's name. A folder stands for its files."""

    file: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]


def _place(value: object) -> Literal["tag:file", "tag:here"]:
    """Return where the event types are. One of them may be called `file`, but an event type is no text."""
    written = value.get("file") if isinstance(value, Mapping) else None
    return "tag:file" if isinstance(value, EventTypeFiles) or isinstance(written, str | list) else "tag:here"


EventTypes = Annotated[dict[EventTypeName, EventTypeConfig], Field(max_length=MAX_EVENT_TYPES)]
EventTypesConfig: TypeAlias = Annotated[
    Annotated[EventTypeFiles, Tag("tag:file")] | Annotated[EventTypes, Tag("tag:here")], Discriminator(_place)
]


def _present(value: object) -> object:
    """Return an empty mapping for `subscribers:` with nothing after it: its presence is enough."""
    return {} if value is None else value


class SubscribersConfig(Model):
    """Your own users subscribe to events: a function with an API and a portal. It needs the secret `subscribers-key`.

    public_url     what stands before /v1 and /portal in links, unless it is the function's own URL
    allow_http     endpoints may have a URL with http://
    allow_private  endpoints may have private addresses
    verify         the proof that an endpoint gives before it gets events: `challenge` must be echoed, `cloudevents` is
                   the handshake of CloudEvents
    disable_after  how long deliveries to an endpoint may keep failing before it is disabled
    event_types    event types by name, or `{file: …}`
    """

    public_url: PublicUrl | None = None
    portal: PortalConfig = PortalConfig()
    limits: LimitsConfig = LimitsConfig()
    allow_http: bool = False
    allow_private: bool = False
    verify: Literal["none", "challenge", "cloudevents"] = "none"
    disable_after: Annotated[Seconds, Field(ge=1, le=365 * 86_400)] = 5 * 86_400
    tell: TellConfig = TellConfig()
    event_types: EventTypesConfig = Field(default={})


SubscribersSection = Annotated[SubscribersConfig | None, BeforeValidator(_present)]
