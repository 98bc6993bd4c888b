"""The catalogue of event types, such as `order.paid`, as one page of HTML: for `GET /docs`, and to publish as a file.

Every text in it comes from the operator's catalogue, and is escaped. The page has no scripts. Its style is in the page,
with a hash for a Content-Security-Policy.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby, islice
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

from shared.jsontext import Json, JsonObject, list_at
from shared.subscribers.model import EventType
from shared.subscribers.openapi_webhooks import EXAMPLE_TIME, Payload
from shared.subscribers.schema_example import example_of, resolved

MAX_FIELDS: Final = 300
"""The most fields in the table of an event type."""
MAX_LEVELS: Final = 6
"""The most levels of fields inside fields."""
MAX_CHOICES: Final = 20
"""The most values or types that the table lists for one field."""
MAX_LINK_BYTES: Final = 500
"""The most bytes of the link to an event type, with the title of its group."""
STYLE: Final = Path(__file__).with_name("catalogue.css").read_text(encoding="utf-8")
STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""The source of the page's style in a Content-Security-Policy, without the quotes that it has there."""
_RECEIVING: Final = """\
<p>Each event is a POST request with a JSON body{envelope}. Answer with a 2xx status once you have stored the event.
After any other answer, or none, the event is sent again: a repeated event has the same <code>webhook-id</code>.</p>
<p>Requests to an endpoint with a <code>whsec_</code> or <code>whsk_</code> secret are signed as
<a href="https://www.standardwebhooks.com">Standard Webhooks</a> describes, in the headers <code>webhook-id</code>,
<code>webhook-timestamp</code> and <code>webhook-signature</code>. Verify the signature before you use an event.</p>"""
_ENVELOPE: Final = """: <code>type</code> and <code>timestamp</code> say what happened and when, and <code>data</code>
has the fields that are described here"""


class Field(NamedTuple):
    """A field of an event's data. In its path, `[]` stands for the items of a list; `kind` is its type for people."""

    path: str
    kind: str
    is_required: bool
    description: str


class Described(NamedTuple):
    """An event type with its part of the page."""

    event_type: EventType
    article: str


class Group(NamedTuple):
    """Event types under one heading."""

    heading: str
    members: Sequence[Described]


def catalogue_page(
    event_types: Sequence[EventType],
    title: str = "Webhooks",
    payload: Payload = "standard",
    logo: str = "",
    *,
    max_bytes: float = inf,
    is_whole: bool = True,
) -> str:
    """Return the page. `logo` is the URL of an image.

    The page has as many event types as fit into `max_bytes`. It says that there are more if some do not fit, or if
    `event_types` are not all of the catalogue (`is_whole` is false).
    """
    # The event types without a group come last.
    ordered = sorted(event_types, key=lambda event_type: (not event_type.group, event_type.group, event_type.name))
    described: list[Described] = []
    bytes_left = max_bytes
    for event_type in ordered:
        article = "\n".join(_article(event_type, payload))
        bytes_left -= len(article.encode("utf-8", "replace")) + MAX_LINK_BYTES
        if bytes_left < 0:
            break
        described.append(Described(event_type, article))
    has_groups = bool(described and described[0].event_type.group)
    ungrouped = "Other event types" if has_groups else "Event types"
    groups = [
        Group(name or ungrouped, list(members))
        for name, members in groupby(described, key=lambda member: member.event_type.group)
    ]
    shows_all = is_whole and len(described) == len(ordered)
    return "\n".join(_page(groups, title, payload, logo, shows_all)) + "\n"


def _page(groups: Sequence[Group], title: str, payload: Payload, logo: str, shows_all: bool) -> Iterator[str]:
    """Yield the lines of the page."""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    yield '<a class="skip" href="#main">Skip to the event types</a>'
    image = f'<img src="{escape(logo)}" alt="">' if logo else ""
    yield f"<header>{image}<h1>{escape(title)}</h1></header>"
    yield '<div class="columns">\n<nav aria-label="Event types">'
    for group in groups:
        yield f"<h2>{escape(group.heading)}</h2>\n<ul>"
        for member in group.members:
            yield f'<li><a href="#{_anchor(member.event_type)}">{escape(member.event_type.name)}</a></li>'
        yield "</ul>"
    yield '</nav>\n<main id="main">\n<section class="about">'
    yield _RECEIVING.format(envelope=_ENVELOPE if payload == "standard" else "")
    yield "</section>"
    if not groups:
        yield '<p class="faint">There are no event types yet.</p>'
    for group in groups:
        yield f"<h2>{escape(group.heading)}</h2>"
        yield from (member.article for member in group.members)
    if not shows_all:
        yield '<p class="faint">There are more event types than this page can show. The portal lists all of them.</p>'
    yield "</main>\n</div>\n</body>\n</html>"


def _anchor(event_type: EventType) -> str:
    return f"type-{escape(event_type.name)}"


def _article(event_type: EventType, payload: Payload) -> Iterator[str]:
    """Yield the lines of an event type's part of the page: its fields, its examples and its schema."""
    deprecated = ' <span class="chip">deprecated</span>' if event_type.is_deprecated else ""
    yield f'<article id="{_anchor(event_type)}">'
    yield f"<h3><code>{escape(event_type.name)}</code>{deprecated}</h3>"
    if event_type.description:
        yield f'<p class="text">{escape(event_type.description)}</p>'
    fields = [*islice(fields_of(event_type.schema_), MAX_FIELDS)]
    if fields:
        yield "<h4>Fields</h4>"
        yield '<div class="scroll"><table><thead><tr><th scope="col">Field</th><th scope="col">Type</th>'
        yield '<th scope="col">Required</th><th scope="col">Description</th></tr></thead><tbody>'
        yield from map(_row, fields)
        yield "</tbody></table></div>"
    examples = [*event_type.examples]
    if not examples and event_type.schema_:
        examples = [example_of(event_type.schema_)]
    for number, data in enumerate(examples, 1):
        heading = f"Example {number}" if len(examples) > 1 else "Example"
        in_envelope: Json = {"type": event_type.name, "timestamp": EXAMPLE_TIME, "data": data}
        yield f"<h4>{heading}</h4>\n{_json(in_envelope if payload == 'standard' else data)}"
    if event_type.schema_:
        yield f"<details><summary>JSON Schema</summary>{_json(event_type.schema_)}</details>"
    yield "</article>"


def _row(field: Field) -> str:
    required = "yes" if field.is_required else "no"
    cells = f"<td>{escape(field.kind)}</td><td>{required}</td><td>{escape(field.description)}</td>"
    return f"<tr><td><code>{escape(field.path)}</code></td>{cells}</tr>"


def _json(value: Json) -> str:
    return f'<pre tabindex="0">{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>'


def fields_of(schema: JsonObject) -> Iterator[Field]:
    """Yield the fields that the schema describes, with those inside them, down to MAX_LEVELS.

    If a schema contains itself, its fields are listed once.
    """
    yield from _fields(schema, schema, "", ())


def _fields(schema: Json, root: JsonObject, path: str, outer: tuple[JsonObject, ...]) -> Iterator[Field]:
    """Yield the fields of a schema at `path`. `outer` has the `properties` of each schema that contains it."""
    merged = resolved(schema, root)
    properties = merged.get("properties")
    required = list_at(merged, "required")
    if not isinstance(properties, dict) or len(outer) >= MAX_LEVELS or any(properties is each for each in outer):
        return
    for name, field_schema in properties.items():
        field = resolved(field_schema, root)
        field_path = f"{path}.{name}" if path else name
        description = str(field.get("description") or field.get("title") or "")
        yield Field(field_path, _kind(field, root), name in required, description)
        items = field.get("items")
        if items is None:
            yield from _fields(field, root, field_path, (*outer, properties))
        else:
            yield from _fields(items, root, f"{field_path}[]", (*outer, properties))


def _kind(schema: JsonObject, root: JsonObject) -> str:
    """Return the type of a field for people, such as `array of string, date-time` or `"paid" or "open"`.

    `root` is the whole schema, in which references are looked up. The types inside a type get an empty one, so that
    their references are not followed: a schema may contain itself.
    """
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if isinstance(allowed := schema.get("enum"), list):
        return " or ".join(json.dumps(value, ensure_ascii=False) for value in allowed[:MAX_CHOICES])
    for key in ("oneOf", "anyOf"):
        if isinstance(choices := schema.get(key), list):
            return " or ".join(dict.fromkeys(_kind(resolved(choice, root), {}) for choice in choices[:MAX_CHOICES]))
    kind = schema.get("type")
    text = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind or "any")
    if "array" in text and isinstance(schema.get("items"), dict):
        text += f" of {_kind(resolved(schema['items'], root), {})}"
    return f"{text}, {form}" if isinstance(form := schema.get("format"), str) else text
