"""Texts of messages and mails, and their links. Pure.

The operator writes the templates, but senders write the data. So the data must not notify people, and must not change
the text around it. In this order:

    titles and default text   for an operator who wrote no template
    default line of a digest  for each of its events
    invisible characters      replaced in every text
    mentions                  have no effect
    code and links            a value cannot end a block of code or hide the address of a link
    the URL of a message      from a template, in which a sender may have written the address
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

from functions.notify.bounded_texts import cut
from shared import errors, jsontext
from shared.event import NO_TYPE, Event, oneline
from shared.templating.template import Template, url_segment

MAX_FIELDS: Final = 10
MAX_VALUE_CHARACTERS: Final = 200
MAX_PART_CHARACTERS: Final = 120
"""The length of each part of a default line."""
ACTION_FIELDS: Final = ("action", "state", "status", "conclusion")
"""Fields that say what happened, in the order of preference."""
HEADLINE_FIELDS: Final = ("title", "headline", "summary", "subject", "message", "text", "description", "name", "body")
"""Fields that say what an event is about, in the order of preference. Of two equal ones, the less deep one is used."""
MAX_HEADLINE_DEPTH: Final = 3
"""How many levels of the data a headline is looked for in: the data itself is the first."""
MAX_HEADLINE_FIELDS: Final = 300
"""The number of fields in which a headline is looked for."""
_SEPARATORS: Final = re.compile(r"[\s._:/-]+")
_ZERO_WIDTH_SPACE: Final = "\u200b"


# Titles and default text


def default_text(event: Event) -> str:
    """Return the title of the event, where it comes from, what it is about, who caused it, and some of its fields."""
    facts = [f"from {event.source_name}", event.subject, f"by {event.actor}" if event.actor else None]
    about = " · ".join([visible(oneline(fact)) for fact in facts if fact])
    fields = [f"{visible(name)}: {visible(oneline(value))}" for name, value in first_fields(event.data)]
    return unformatted("\n".join([title_of(event), about, *fields]))


def title_of(event: Event) -> str:
    """Return a title such as `Password created` for an event of the type `password_created`."""
    return title_of_type(event.type) or f"Webhook from {event.source_name}"


@lru_cache(maxsize=256)
def title_of_type(event_type: str) -> str:
    """Return the title of a type; an empty text where the sender gave none."""
    spaced = "" if event_type == NO_TYPE else _SEPARATORS.sub(" ", visible(event_type)).strip()
    return spaced[:1].upper() + spaced[1:]


def first_fields(value: jsontext.Json) -> list[tuple[str, str]]:
    """Return the paths and texts of the first MAX_FIELDS values, at any depth."""
    return list(islice(_walk("", value), MAX_FIELDS))


def _walk(name: str, value: jsontext.Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{name}.{key}"[:MAX_VALUE_CHARACTERS] if name else key[:MAX_VALUE_CHARACTERS], item)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(f"{name}[{number}]"[:MAX_VALUE_CHARACTERS], item)
    elif value is not None and value != "":
        text = value if isinstance(value, str) else jsontext.to_json(value)
        yield name or "data", cut(text, MAX_VALUE_CHARACTERS)


# The default line of a digest


def default_line(event: Event) -> str:
    """Return a line such as `opened: Fix the roof · octo/house · by ada`: the action and the headline in the usual
    fields of the data, the subject, and the actor.

    If the event has none of the first three, the line begins with the first fields of the data.
    """
    headline = _headline(event.data)
    if headline in (event.subject or ""):  # the line has the subject anyway
        headline = ""
    action = _action(event.data)
    what_happened = f"{action}: {headline}" if action and headline else action or headline
    actor = f"by {_line_part(event.actor)}" if event.actor else ""
    if what_happened or event.subject:
        parts = list(dict.fromkeys([what_happened, _line_part(event.subject), actor]))  # each once
    else:
        fields = [f"{_line_part(name)}: {_line_part(value)}" for name, value in first_fields(event.data)[:3]]
        parts = [*fields, actor]
    return " · ".join([part for part in parts if part]) or title_of(event)


def _action(data: jsontext.Json) -> str:
    """Return the text of the first of ACTION_FIELDS in the data; an empty text if it has none of them."""
    values = [data.get(name) for name in ACTION_FIELDS] if isinstance(data, dict) else []
    return next((_line_part(value) for value in values if isinstance(value, str) and value), "")


class _Headline(NamedTuple):
    """The text of a field in HEADLINE_FIELDS. `preference` is the place of its name there; the least one is used."""

    preference: int
    depth: int
    text: str


def _headline(data: jsontext.Json) -> str:
    """Return the text of the best of HEADLINE_FIELDS in the data; an empty text if it has none of them."""
    best = min(_headlines(data), key=lambda each: (each.preference, each.depth), default=None)
    return _line_part(best.text) if best else ""


def _headlines(data: jsontext.Json) -> Iterator[_Headline]:
    """Yield the possible headlines, level by level, in the first MAX_HEADLINE_FIELDS fields."""
    level, count = [data], 0
    for depth in range(MAX_HEADLINE_DEPTH):
        next_level: list[jsontext.Json] = []
        for value in level:
            for name, item in value.items() if isinstance(value, dict) else ():
                count += 1
                if count > MAX_HEADLINE_FIELDS:
                    return
                if isinstance(item, str) and name in HEADLINE_FIELDS and item.strip():
                    yield _Headline(HEADLINE_FIELDS.index(name), depth, item)
                elif isinstance(item, dict):
                    next_level.append(item)
        level = next_level


def _line_part(text: str | None) -> str:
    """Return the text as a part of a line: on one line, without invisible characters, and cut."""
    beginning = (text or "")[: 4 * MAX_PART_CHARACTERS]  # the rest of a long text would be cut anyway
    return cut(visible(oneline(beginning)), MAX_PART_CHARACTERS)


# Invisible characters, and mentions

# Control characters except tab and line feed, and characters that change the direction of the text, which can make a
# value look like another one.
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT: Final = 100
"""The length up to which it is faster to check a text as it is."""
_VISIBLE_ASCII: Final = bytes((0x0A, *range(0x20, 0x7F)))
_MENTION: Final = re.compile(
    r"<(?=[@#!:/&]|users/|[a-z][a-z0-9+.-]*:)|@(?=everyone|here)|(?<!\w)@(?=\w)", re.IGNORECASE
)


def visible(text: str) -> str:
    """Return the text with U+FFFD for each invisible character, which a terminal or a mail program may interpret."""
    if len(text) > _SHORT:  # to check the bytes takes a third of the time
        rest = text.encode("utf-8", "surrogatepass").translate(None, _VISIBLE_ASCII)
        is_visible = not rest or rest.decode("utf-8", "surrogatepass").isprintable()
    else:
        is_visible = text.isprintable() or text.replace("\n", "").isprintable()
    return text if is_visible else _UNSEEN.sub("\ufffd", text)


def without_mentions(text: str) -> str:
    """Return a text that looks the same, but in which `@everyone`, `<@U1>` and `<users/all>` notify no one."""
    return _MENTION.sub(_with_space_behind, text)


def _with_space_behind(found: re.Match[str]) -> str:
    return found[0] + _ZERO_WIDTH_SPACE


# Blocks of code and links. A block begins and ends with three backticks or more, and `[Open](https://…)` is a link.

_BACKTICK: Final = "\ufdd0"
"""Stands for a backtick of a block of code that the template wrote. It is a noncharacter of Unicode."""
_LINK: Final = "\ufdd1"
"""Stands for the `](` of a link that the template wrote."""
_BLOCK: Final = re.compile("`{3,}")
# The `]` of each `](`. And in each run of three or more backticks, each one that another one follows, unless the
# template wrote both of them.
_FORMATTING: Final = re.compile(
    r"`(?=[`\ufdd0]{2})|\ufdd0(?=`[`\ufdd0])|(?<=[`\ufdd0])(?:`(?=[`\ufdd0])|\ufdd0(?=`))|\](?=\()"
)


def unformatted(text: str) -> str:
    """Return a text that looks the same, but has no block of code and no link: invisible spaces divide their marks."""
    return _FORMATTING.sub(_with_space_behind, text)


class MessageTemplate:
    """An operator's template of a text. Only its own text makes blocks of code and links, and no value of an event.

    To tell the two apart, noncharacters stand for the template's own backticks and `](` until the values are in place,
    and no value may have these characters. The whole text is then made unformatted, and not each value: a filter's
    result is not a value of the event, and two values next to each other can make formatting that neither of them has.
    """

    def __init__(self, text: str) -> None:
        """Compile the template. Raises TemplateFault."""
        self._template = Template("text", text, own_text=_marked)

    def render(self, view: jsontext.JsonObject) -> str:
        """Return the text. Raises Permanent."""
        values = {name: _without_marks(value) for name, value in view.items()}
        text = self._template.render(values).replace("\r\n", "\n").replace("\r", "\n")
        return unformatted(visible(text).strip()).replace(_BACKTICK, "`").replace(_LINK, "](")


def _marked(text: str) -> str:
    """Return a template's own text with marks in place of its blocks of code and links."""
    return _BLOCK.sub(lambda found: _BACKTICK * len(found[0]), text).replace("](", _LINK)


def _without_marks(value: jsontext.Json) -> jsontext.Json:
    """Return the value without marks in its texts and keys."""
    if isinstance(value, str):
        return value if value.isascii() else value.replace(_BACKTICK, "\ufffd").replace(_LINK, "\ufffd")
    if isinstance(value, list):
        return [_without_marks(item) for item in value]
    if isinstance(value, dict):
        return {str(_without_marks(key)): _without_marks(item) for key, item in value.items()}
    return value


# The URL of a message

MAX_LINK_CHARACTERS: Final = 2_000
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_WEB_LINK: Final = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)
_URL_CHARACTERS: Final = ":/?#[]@!$&'()*+,;=%~-._"


@lru_cache(maxsize=1_000)
def compile_link(text: str) -> Template:
    """Compile the template of a URL. If it begins with a scheme, values in it are quoted. Raises TemplateFault."""
    return Template("link", " ".join(text.split()), encode=url_segment if _SCHEME.match(text) else None)


def link_url(text: str, view: jsontext.JsonObject) -> str | None:
    """Fill the template of a URL. Return None if the result is no web address, or too long. Raises Permanent.

    In `https://example.com/orders/{{ data.id }}` and `myapp://open?event={{ data }}`, the operator writes the address,
    and the value is quoted. In `{{ data.url }}`, the sender writes the address, which must begin with http or https.
    """
    try:
        url = compile_link(text).render(view)
    except errors.Permanent as error:
        if error.code == "invalid_url":  # a value is empty
            return None
        raise
    if not _SCHEME.match(text):
        url = oneline(url)
        if not _WEB_LINK.match(url):
            return None
    url = quote(url, safe=_URL_CHARACTERS)
    return url if len(url) <= MAX_LINK_CHARACTERS else None
