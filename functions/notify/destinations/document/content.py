"""The content that a delivery writes into a document."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, TypeAlias

from functions.notify.bounded_texts import cut
from functions.notify.destinations.document.encoding import encoded
from functions.notify.destinations.document.markdown import paragraphs_of
from functions.notify.destinations.document.settings import Settings
from functions.notify.destinations.document.updates import START, fill_requests, section_requests
from functions.notify.http_kind import rendered_line, template_view
from shared.delivery import Delivery
from shared.errors import Permanent
from shared.event import view_of
from shared.expressions import over_event
from shared.jsontext import Json, to_json
from shared.templates import Template

MAX_TITLE_CHARACTERS: Final = 250
MAX_CHARACTERS: Final = 1_020_000
"""A document of Google has no more, whatever it contains."""
MakeRequests: TypeAlias = Callable[[int], list[Json]]


@dataclass(frozen=True, slots=True)
class Content:
    """`make` returns the requests for a body that ends at an index. `key` is the attempt's `row_key`.

    `is_retry`: an attempt before may have written it.
    """

    title: str
    make: MakeRequests
    key: str
    is_retry: bool

    def requests(self, end_index: int = START + 1) -> list[Json]:
        return self.make(end_index)


def content_of(delivery: Delivery, settings: Settings, key: str, is_retry: bool = False) -> Content:
    """Raises Permanent, and Temporary where the library for Markdown is not installed."""
    view = template_view(delivery)
    title = cut(rendered_line("title", settings.title, view), MAX_TITLE_CHARACTERS)
    if settings.markdown is None:
        seen = view_of(delivery.event)
        values = {name: _text(name, over_event(text).search(seen)) for name, text in settings.values.items()}
        _verify_length(values.values())
        return Content(title, lambda _: fill_requests(values, key), key, is_retry)
    paragraphs = paragraphs_of(_template(settings.markdown).render(view))
    if not paragraphs:
        raise Permanent("template_failed", "template 'markdown': its text is empty with this event")
    _verify_length(paragraph.text for paragraph in paragraphs)
    return Content(title, partial(section_requests, paragraphs, key), key, is_retry)


def _verify_length(texts: Iterable[str]) -> None:
    """Raises Permanent before requests are made of what no document takes."""
    if (length := sum(map(len, texts))) > MAX_CHARACTERS:
        rule = f"a document takes {MAX_CHARACTERS:,} characters; the values together have {length:,}"
        raise Permanent("output_too_large", rule)


def _text(name: str, value: Json) -> str:
    """Return the value as text: null is empty, and anything else that is no text is JSON. Raises Permanent."""
    try:
        return value if isinstance(value, str) else "" if value is None else to_json(value)
    except (ValueError, RecursionError):
        raise Permanent("conversion_failed", f"value {name!r}: it is no JSON") from None


@lru_cache(maxsize=100)
def _template(text: str) -> Template:
    return Template("markdown", text, encode=encoded)
