"""The catalogue of event types as one page of HTML without scripts: for `GET /docs`, and to publish as a file.

Every text in it comes from the operator's catalogue, and is escaped. Its style is in the page, with a hash for a
Content-Security-Policy.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby, islice
from math import inf
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from shared.jsontext import Json, JsonObject
from shared.subscribers.model import EventType
from shared.subscribers.openapi_webhooks import EXAMPLE_TIME, Payload
from shared.subscribers.schema_example import example_of, resolved

MAX_FIELDS: Final = 300
"""The most fields of an event type that its table has."""
MAX_LEVELS: Final = 6
"""The most levels of fields in fields."""
MAX_CHOICES: Final = 20
"""The most values or types of a field that are named."""
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


Groups: TypeAlias = Sequence[tuple[str, Sequence[Described]]]
"""The names of the groups, and their event types. The group without a name is the last one."""


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

    Of event types that take more than `max_bytes`, the page has as many as fit. Then, and where the given ones are not
    all (`is_whole`), it says that there are more.
    """
    ordered = sorted(event_types, key=lambda event_type: (not event_type.group, event_type.group, event_type.name))
    described: list[Described] = []
    for event_type in ordered:
        article = "\n".join(_article(event_type, payload))
        max_bytes -= len(article.encode("utf-8", "replace")) + MAX_LINK_BYTES
        if max_bytes < 0:
            is_whole = False
            break
        described.append(Described(event_type, article))
    by_group = groupby(described, key=lambda member: member.event_type.group)
    groups = [(group, list(members)) for group, members in by_group]
    return "\n".join(_page(groups, title, payload, logo, is_whole)) + "\n"


def _page(groups: Groups, title: str, payload: Payload, logo: str, is_whole: bool) -> Iterator[str]:
    """Yield the lines of the page."""
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>"
    yield '<a class="skip" href="#main">Skip to the event types</a>'
    image = f'<img src="{escape(logo)}" alt="">' if logo else ""
    yield f"<header>{image}<h1>{escape(title)}</h1></header>"
    yield '<div class="columns">\n<nav aria-label="Event types">'
    for group, members in groups:
        yield f"<h2>{escape(group or _ungrouped(groups))}</h2>\n<ul>"
        yield from (_link(member.event_type) for member in members)
        yield "</ul>"
    yield '</nav>\n<main id="main">\n<section class="about">'
    yield _RECEIVING.format(envelope=_ENVELOPE if payload == "standard" else "")
    yield "</section>"
    if not groups:
        yield '<p class="faint">There are no event types yet.</p>'
    for group, members in groups:
        yield f"<h2>{escape(group or _ungrouped(groups))}</h2>"
        yield from (member.article for member in members)
    if not is_whole:
        yield '<p class="faint">There are more event types than this page can show. The portal lists all of them.</p>'
    yield "</main>\n</div>\n</body>\n</html>"


def _link(event_type: EventType) -> str:
    return f'<li><a href="#{_anchor(event_type)}">{escape(event_type.name)}</a></li>'


def _ungrouped(groups: Groups) -> str:
    return "Other event types" if len(groups) > 1 else "Event types"


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
    examples = [*event_type.examples] or ([example_of(event_type.schema_)] if event_type.schema_ else [])
    for number, example in enumerate(examples, 1):
        body = (
            {"type": event_type.name, "timestamp": EXAMPLE_TIME, "data": example} if payload == "standard" else example
        )
        yield f"<h4>Example{f' {number}' if len(examples) > 1 else ''}</h4>\n{_json(body)}"
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

    The fields of a schema inside itself are there once.
    """
    yield from _fields(schema, schema, "", ())


def _fields(schema: Json, root: JsonObject, path: str, around: tuple[JsonObject, ...]) -> Iterator[Field]:
    """Yield the fields of a schema at `path`. `around` has the properties of the schemas that it is in."""
    merged = resolved(schema, root)
    properties, required = merged.get("properties"), merged.get("required")
    if not isinstance(properties, dict) or len(around) >= MAX_LEVELS or any(properties is outer for outer in around):
        return
    for name, field_schema in properties.items():
        own = resolved(field_schema, root)
        where = f"{path}.{name}" if path else name
        is_required = isinstance(required, list) and name in required
        yield Field(where, _kind(own, root), is_required, str(own.get("description") or own.get("title") or ""))
        inner, here = (own, where) if own.get("items") is None else (own["items"], f"{where}[]")
        yield from _fields(inner, root, here, (*around, properties))


def _kind(schema: JsonObject, root: JsonObject) -> str:
    """Return the type of a field for people, such as `array of string, date-time` or `"paid" or "open"`.

    With an empty `root`, references are not followed any more, so that a schema that contains itself ends.
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
