"""Requests that a source answers, and that are none of its events."""

from typing import TYPE_CHECKING

from functions.receive.admission import MethodRefused
from functions.receive.outcomes import Answered
from functions.receive.sources import Source
from shared.errors import Rejected
from shared.http import Reply, Request
from shared.ports import Fetch, Secrets

if TYPE_CHECKING:
    from functions.receive.browser_form import BrowserForm
    from functions.receive.handshaking import Handshaking

NO_STORE = (("cache-control", "no-store"),)


def handshaking(source: Source, secrets: Secrets, fetch: Fetch | None) -> "Handshaking":
    from functions.receive.handshaking import Handshaking  # for providers that have handshakes

    return Handshaking(source, secrets, fetch)


def form_question(source: Source, form: "BrowserForm", head: Request) -> Answered | None:
    """A browser asks whether a page may post; None for the post itself. Raises Rejected (`origin`)."""
    if head.method == "OPTIONS":
        return Answered(source, form.preflight(head), "preflight")
    if head.method in source.methods:
        form.verify_origin(head)
    return None


def without_event(source: Source, head: Request) -> Answered:
    """Whoever looks where a link leads, without following it. Raises MethodRefused."""
    if head.method == "HEAD" and "GET" in source.methods:
        return Answered(source, Reply(200, b"", NO_STORE), "head")
    raise MethodRefused(source.answered_methods)


def refuse_prefetch(head: Request) -> None:
    """A browser that fetches what may never be looked at says so. Raises Rejected (`prefetch`)."""
    for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"):
        words = (head.header(name) or "").lower()
        if "prefetch" in words or "preview" in words or "prerender" in words:
            raise Rejected("prefetch", "a link takes effect when it is followed, not when it is looked at beforehand")
