"""The page about the API says what the code does."""

import re
from typing import Final

from functions.subscribe.handlers.sending_again import SECONDS
from functions.subscribe.models import (
    MAX_FIELDS_BYTES,
    MAX_HEADERS_BYTES,
    MAX_PAGE,
    MAX_TOKEN_SECONDS,
    PortalTokenInput,
)
from functions.subscribe.route import MAX_BODY_BYTES, MAX_IMPORT_BYTES
from functions.subscribe.routes import ROUTES
from functions.subscribe.service import TenantLimits
from tests.fakes.subscribe_api import Subscribers
from tests.processes import ROOT

PAGE: Final = (ROOT / "functions/subscribe/README.md").read_text(encoding="utf-8")


def marked(word: str | None) -> str:
    return f"`{word}`" if word else "–"


def test_the_table_has_every_route_with_who_may_use_it() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[A-Z]+ /", line)]
    assert rows == [
        f"| {marked(f'{route.method} {route.path}')} | {marked(route.access.scope)} "
        f"| {marked(route.access.capability)} | {route.summary} |"
        for route in ROUTES
    ]


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    limits, text = TenantLimits(), " ".join(PAGE.split())
    for claim in (
        f"at most {limits.endpoints} endpoints, and each endpoint at most {limits.headers} headers, "
        f"{limits.fields} fields, {limits.types} type patterns and a {limits.filter_characters}-character filter",
        f"`limit` is at most {MAX_PAGE}",
        f"no larger than {MAX_BODY_BYTES // 1024} KiB. A catalogue can be up to {MAX_IMPORT_BYTES // 1024**2} MiB",
        f"Headers can total at most {MAX_HEADERS_BYTES // 1024} KiB, and so can fields",
        f"{MAX_TOKEN_SECONDS // 86_400} days at most",
        f"for up to {SECONDS:.0f} seconds",
    ):
        assert claim in text
    assert MAX_HEADERS_BYTES == MAX_FIELDS_BYTES
    assert PortalTokenInput().expires_in == 3_600
    assert PortalTokenInput().capabilities == ["view", "manage", "resend"]


async def test_the_requests_on_the_page_do_what_it_says() -> None:
    api = Subscribers()
    key = await api.key("write", "portal")
    lines = [line for line in PAGE.replace("\\\n", "").splitlines() if line.startswith("curl ")]
    for line in lines:
        method, path = re.search(r"-X (\w+)", line), re.search(r"http://localhost:\d+(/v1\S+)", line)
        body = re.search(r"-d '(.*?)'", line)
        assert method
        assert path
        answer = await api.send(method[1], path[1], body[1].encode() if body else None, by=key)
        assert answer.status in {200, 201}
    assert "/portal#token=hpt_" in answer.text("url")
