"""A complete program that sends an application's events to one source: a template of Jinja in the folder snippets.

The secret comes from the environment, and only a 2xx response counts as success.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from deploy.requests import command_lines, events, send_options, sources
from deploy.requests.accepted_bodies import SCHEMA_MISMATCH, in_format, rejection_of, rule_of
from shared.jsontext import Json, JsonObject
from shared.secrets import variable_name
from shared.signatures.locations import RequestFields, read_conditions

FOLDER: Final = Path(__file__).resolve().parent / "snippets"
SNIPPETS: Final = ("python", "typescript", "curl", "sql", "sql-worker")


@dataclass(frozen=True, slots=True)
class Sender:
    """An application that sends to one source.

    url           without a token
    entry         the entry of the source's `auth` to use
    event         an example, with type and id where the source looks for them
    type_texts    by place in the event such as `data.type`, the text there that makes the type; empty where the type
                  stands in a header or in the URL
    id_headers    the headers with the event's id, besides webhook-id
    id_in_body    the place in the body with the event's id, such as `data.id`; empty if it is in headers
    fault         the rule of the source's schema that the example breaks; empty if it breaks none
    """

    source: str
    url: str
    entry: JsonObject
    event: events.MadeEvent
    type_texts: Mapping[str, str]
    id_headers: tuple[str, ...] = ()
    id_in_body: str = ""
    fault: str = ""

    @property
    def variable(self) -> str:
        """The environment variable with the secret; empty where the source needs none."""
        return variable_name(str(self.entry["secret"])) if "secret" in self.entry else ""

    @property
    def full_url(self) -> str:
        """The URL, up to the token, which is at its end."""
        if self.entry["scheme"] == "path":
            return f"{self.url}/"
        url = f"{self.url}?{urlencode(self.event.query)}" if self.event.query else self.url
        if self.entry["scheme"] == "query":
            return f"{url}{'&' if self.event.query else '?'}{quote(str(self.entry['parameter']), safe='')}="
        return url

    @property
    def has_token_in_url(self) -> bool:
        return self.entry["scheme"] in {"path", "query"}

    @property
    def python_auth(self) -> str:
        """The scheme as a program writes it, such as `Basic("hookchain")`; empty where no header authenticates."""
        if self.has_token_in_url or self.entry["scheme"] == "none":
            return ""
        auth = send_options.client_auth(self.entry)
        return f"{type(auth).__name__}({', '.join(map(json.dumps, astuple(auth)))})"


def find_sender(source: str, settings: JsonObject, url: str, transform: JsonObject) -> Sender:
    """Return what a snippet for this source needs; `settings` are its part of receive's slice.

    Raises ValueError where an application cannot send to it.
    """
    entries = sources.auth_entries(settings)
    if not sources.accepts_post(settings):
        if any(each["scheme"] == "link" for each in entries):
            raise ValueError(f"the source {source!r} accepts no POST. Make a link with `hookchain link {source}`.")
        raise ValueError(f"the source {source!r} accepts no POST, and a snippet sends nothing else")
    event_type = events.routed_type(transform, source)
    event, fault = _example_in_json(source, settings, event_type)
    fields = RequestFields(event.to_request("evt_1"))
    entry = next((each for each in entries if command_lines.can_send(each) and _meets_condition(each, fields)), None)
    if entry is None:
        schemes = " or ".join(dict.fromkeys(str(each["scheme"]) for each in entries))
        raise ValueError(
            f"no snippet can sign as the source {source!r} needs it ({schemes}). Send a test event with `hookchain "
            f"smoke --source {source}`, or give your application a source of its own."
        )
    id_places = events.id_places(settings)
    if any(place.startswith("query.") for place in id_places):
        raise ValueError(f"the source {source!r} reads the event's id from the URL, which no snippet writes")
    id_headers = dict.fromkeys(place.removeprefix("header.") for place in id_places if place.startswith("header."))
    for name in id_headers:  # a program sends many events, each with an id of its own
        event.headers.pop(name)
    type_places = events.first_places(settings.get("type")) or ("data.event",)
    typed_places = events.typed_places(type_places, event_type)
    type_texts = {place: text for place, text in typed_places.items() if place.startswith("data.")}
    others = tuple(name for name in id_headers if name.lower() != "webhook-id")
    id_in_body = next((place for place in id_places if place.startswith("data.")), "")
    return Sender(source, url, entry, event, type_texts, others, id_in_body, fault)


def _example_in_json(source: str, settings: JsonObject, event_type: str) -> tuple[events.MadeEvent, str]:
    """Return an example whose data is an object, and the rule of the source's schema that it breaks; empty for none.

    Raises ValueError if the source accepts no object in JSON.
    """
    data = events.described_data(settings.get("schema"))
    event = in_format(settings, events.make_example_event(settings, event_type, data), "json")
    if not isinstance(event.data, dict):
        raise ValueError(f"a snippet sends an object, which the schema of the source {source!r} does not allow")
    rejection = rejection_of(settings, event)
    if rejection is None:
        return event, ""
    if rejection.code == SCHEMA_MISMATCH:
        return event, rejection.detail
    raise ValueError(f"a snippet sends JSON, which the source {source!r} rejects: {rule_of(rejection, settings)}")


def _meets_condition(entry: JsonObject, fields: RequestFields) -> bool:
    """Return whether the source tries this entry for a program's request, which is given without a signature."""
    conditions = read_conditions(entry.get("when"))
    # The programs sign as Standard Webhooks does, in this header.
    return fields.meets(tuple(each for each in conditions if each[0].name != "webhook-signature"))


def make_snippet(language: str, sender: Sender) -> str:
    """Return the program; `language` is one of SNIPPETS."""
    # Imported here, because it is slow to import and seldom needed.
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 the programs are not HTML
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"json": json.dumps, "shell": shlex.quote, "config": _config_text}
    environment.filters |= {"sql": _sql_text, "sql_event": _sql_event}
    return environment.get_template(f"{language}.j2").render(sender=sender, auth=sender.entry)


def _config_text(text: str) -> str:
    """Escape a text twice: for a quoted string of curl's configuration, and for the shell's here-document."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(f"\\{each}" if each in "\\$`" else each for each in quoted)


def _sql_event(type_texts: Mapping[str, str]) -> str:
    """Return the SQL of an event with the changed row as `record`, and with the trigger's arguments at these places.

    Without a place, the type is left out: it is in a header or in the URL.
    """
    fields: JsonObject = {}
    arguments = events.MadeEvent(fields)
    for number, place in enumerate(type_texts):
        arguments.put(place, f"TG_ARGV[{number}]")
    record = "to_jsonb(NEW)"
    if "record" in fields:
        record += f" || {_sql_object(fields.pop('record'))}"
    return _sql_object({**fields, "record": record})


def _sql_object(expressions: Json) -> str:
    """Return the SQL of an object, whose values are SQL or objects of such values; SQL alone as it is."""
    if not isinstance(expressions, dict):
        return str(expressions)
    pairs = (f"{_sql_text(name)}, {_sql_object(each)}" for name, each in expressions.items())
    return f"jsonb_build_object({', '.join(pairs)})"


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
