"""A source to which browsers post the form of a web page."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from shared.errors import Rejected
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject

PREFLIGHT_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class BrowserForm:
    """`origins` are pages' origins such as `https://www.example.com`; `honeypot` is a field that people do not see."""

    origins: frozenset[str]
    honeypot: str
    thanks: str

    def verify_origin(self, request: Request) -> str:
        """Return the page's origin. Raises Rejected (`origin_not_allowed`)."""
        origin = origin_of(request)
        if origin not in self.origins:
            rule = "must come from a page of this source's `form.origins`"
            fault = (
                "its Origin names another" if origin else "it has no Origin, which a program must send like a browser"
            )
            raise Rejected("origin_not_allowed", f"the form {rule}; {fault}")
        return origin

    def preflight(self, request: Request) -> Reply:
        """Return the reply to a browser that asks before it posts. Raises Rejected (`origin_not_allowed`)."""
        headers = (
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", str(PREFLIGHT_SECONDS)),
        )
        return Reply(204, b"", (*cors(self.verify_origin(request)), *headers))

    def is_trapped(self, data: Json) -> bool:
        """Return whether a field was filled that no person sees."""
        return bool(self.honeypot) and isinstance(data, dict) and data.get(self.honeypot) not in (None, "", [])

    def without_honeypot(self, data: Json) -> Json:
        if not isinstance(data, dict) or self.honeypot not in data:
            return data
        return {key: value for key, value in data.items() if key != self.honeypot}

    def reply(self, request: Request, reply: Reply) -> Reply:
        """Redirect a browser to the thanks page; a script gets the reply itself."""
        headers = cors(origin_of(request))
        if self.thanks and request.header("sec-fetch-mode") not in {"cors", "same-origin", "no-cors"}:
            return Reply(303, b"", (("location", self.thanks), *headers))
        return Reply(reply.status, reply.body, (*reply.headers, *headers))

    def rejection(self, request: Request, reply: Reply) -> Reply:
        origin = origin_of(request)
        return reply._replace(headers=(*reply.headers, *cors(origin))) if origin in self.origins else reply


def read_form(settings: JsonObject) -> BrowserForm:
    origins = settings["origins"]
    assert isinstance(origins, list)
    return BrowserForm(frozenset(map(str, origins)), str(settings.get("honeypot", "")), str(settings.get("thanks", "")))


def origin_of(request: Request) -> str:
    """Return the Origin header, else the origin in the Referer header; empty where there is neither."""
    if origin := request.header("origin"):
        return origin.strip().lower()
    try:
        parts = urlsplit(request.header("referer") or "")
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme and parts.netloc else ""


def cors(origin: str) -> tuple[tuple[str, str], ...]:
    return (("access-control-allow-origin", origin), ("vary", "Origin"))
