"""A complete program that sends an application's events to one source: a template of Jinja in the folder snippets.

The secret comes from the environment, and only a 2xx response counts as success.
"""

import json
import shlex
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from deploy.requests import command_lines, events, send_options, sources
from shared.jsontext import JsonObject
from shared.secrets import variable_name

FOLDER: Final = Path(__file__).resolve().parent / "snippets"
SNIPPETS: Final = ("python", "typescript", "curl", "sql", "sql-worker")


@dataclass(frozen=True, slots=True)
class Sender:
    """An application that sends to one source.

    url           without a token
    entry         the entry of the source's `auth` to use
    event         an example, with type and id where the source looks for them
    event_type    the example's type
    type_path     where the type stands in the event; empty where it stands in a header or in the URL
    id_header     the header with the event's id, besides webhook-id; empty where there is none
    """

    source: str
    url: str
    entry: JsonObject
    event: events.MadeEvent
    event_type: str
    type_path: tuple[str, ...]
    id_header: str = ""

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
    entry = next(filter(command_lines.can_send, entries), None)
    if not sources.accepts_post(settings):
        raise ValueError(f"the source {source!r} accepts no POST. Make a link with `hookchain link {source}`.")
    if entry is None:
        schemes = " or ".join(dict.fromkeys(str(each["scheme"]) for each in entries))
        raise ValueError(
            f"no snippet can sign for the source {source!r}, which needs {schemes}. Send a test event with `hookchain "
            f"smoke --source {source}`, or give your application a source of its own."
        )
    event_type = events.routed_type(transform, source)
    location = events.first_location(settings.get("type")) or "data.event"
    path = tuple(location.split(".")[1:]) if location.startswith("data.") else ()
    event = events.make_example_event(settings, event_type)
    place, _, id_name = (events.first_location(settings.get("id")) or "").partition(".")
    if place == "query":
        raise ValueError(f"the source {source!r} reads the event's id from the URL, which no snippet writes")
    if place == "header":  # a program sends many events, each with an id of its own
        event.headers.pop(id_name)
    id_header = id_name if place == "header" and id_name.lower() != "webhook-id" else ""
    return Sender(source, url, entry, event, event_type, path, id_header)


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


def _sql_event(type_path: tuple[str, ...]) -> str:
    """Return the SQL of an event with the changed row as `record`, and its type, the trigger's argument, at the path.

    An empty path leaves the type out: it is in a header or in the URL.
    """
    if not type_path:
        return "jsonb_build_object('record', to_jsonb(NEW))"
    inner = "TG_ARGV[0]"
    for name in reversed(type_path[1:]):
        inner = f"jsonb_build_object({_sql_text(name)}, {inner})"
    if type_path[0] == "record":
        return f"jsonb_build_object('record', to_jsonb(NEW) || {inner})"
    return f"jsonb_build_object({_sql_text(type_path[0])}, {inner}, 'record', to_jsonb(NEW))"


def _sql_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
