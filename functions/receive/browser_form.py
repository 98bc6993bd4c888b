"""A source to which browsers post the form of a web page."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.errors import Rejected
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject

PREFLIGHT_SECONDS: Final = 600
"""The time for which a browser may remember the reply to a preflight."""
_SCRIPT_MODES: Final = frozenset({"cors", "same-origin", "no-cors"})
"""The values of Sec-Fetch-Mode in a request that a page's script makes with fetch(). A form that the browser itself
posts has `navigate`; an old browser sends no such header."""
_ORIGIN_RULE: Final = "the form must come from a page of this source's `form.origins`"


@dataclass(frozen=True, slots=True)
class BrowserForm:
    """The `form` of a source.

    origins   the origins of the pages that may post the form, such as `https://www.example.com`
    honeypot  the name of a field that people do not see and only robots fill; empty if the form has none
    thanks    the URL of the page that a browser is sent to after the form; empty if there is none
    """

    origins: frozenset[str]
    honeypot: str
    thanks: str

    def verify_origin(self, request: Request) -> str:
        """Return the page's origin. Raises Rejected (`origin_not_allowed`)."""
        origin = origin_of(request)
        if origin in self.origins:
            return origin
        if origin:
            raise Rejected("origin_not_allowed", f"{_ORIGIN_RULE}; its Origin names another")
        fault = "it has no Origin, which a program must send like a browser"
        raise Rejected("origin_not_allowed", f"{_ORIGIN_RULE}; {fault}")

    def preflight(self, request: Request) -> Reply:
        """Return the reply to a browser that asks before it posts. Raises Rejected (`origin_not_allowed`)."""
        origin = self.verify_origin(request)
        headers = (
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", str(PREFLIGHT_SECONDS)),
        )
        return Reply(204, b"", (*cors(origin), *headers))

    def is_trapped(self, data: Json) -> bool:
        """Return whether the honeypot was filled, which no person does."""
        if not self.honeypot or not isinstance(data, dict):
            return False
        is_empty = data.get(self.honeypot) in (None, "", [])
        return not is_empty

    def without_honeypot(self, data: Json) -> Json:
        if not isinstance(data, dict) or self.honeypot not in data:
            return data
        return {key: value for key, value in data.items() if key != self.honeypot}

    def adapt_reply(self, request: Request, reply: Reply) -> Reply:
        """Return the reply to a form that was accepted, so whose origin was verified.

        A browser is redirected to the thanks page. A script gets the source's own reply, and may read it.
        """
        headers = cors(origin_of(request))
        is_script = request.header("sec-fetch-mode") in _SCRIPT_MODES
        if self.thanks and not is_script:
            return Reply(303, b"", (("location", self.thanks), *headers))
        return Reply(reply.status, reply.body, (*reply.headers, *headers))

    def adapt_rejection(self, request: Request, reply: Reply) -> Reply:
        """Return the reply to a rejected form. Only scripts of the form's own pages may read it."""
        origin = origin_of(request)
        if origin not in self.origins:
            return reply
        return reply._replace(headers=(*reply.headers, *cors(origin)))


def read_form(settings: JsonObject) -> BrowserForm:
    origins = settings["origins"]
    assert isinstance(origins, list)
    return BrowserForm(frozenset(map(str, origins)), str(settings.get("honeypot", "")), str(settings.get("thanks", "")))


def origin_of(request: Request) -> str:
    """Return the Origin header, else the origin in the Referer header; empty if there is neither."""
    origin = request.header("origin")
    if origin:
        return origin.strip().lower()
    try:
        page = urlsplit(request.header("referer") or "")
    except ValueError:
        return ""
    if not page.scheme or not page.netloc:
        return ""
    return f"{page.scheme}://{page.netloc}".lower()


def cors(origin: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that let scripts of the origin's pages read a reply."""
    return (("access-control-allow-origin", origin), ("vary", "Origin"))
