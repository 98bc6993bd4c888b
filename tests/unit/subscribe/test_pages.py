"""The portal's files and how they may be embedded; the OpenAPI document; and the page about the API."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from openapi_spec_validator import validate

from functions.subscribe.handlers.sending_again import SECONDS
from functions.subscribe.handlers.tenants import MAX_TOKEN_SECONDS, PortalTokenInput
from functions.subscribe.models.endpoints import MAX_FIELDS_BYTES, MAX_HEADERS_BYTES
from functions.subscribe.models.values import MAX_PAGE
from functions.subscribe.openapi import FILE, text
from functions.subscribe.pages import FOLDER, TYPES
from functions.subscribe.route import MAX_BODY_BYTES, MAX_IMPORT_BYTES
from functions.subscribe.routes import ROUTES
from functions.subscribe.settings import TenantLimits, read_settings
from tests.fakes.subscribe_api import SLICE, Subscribers
from tests.running.processes import ROOT


async def test_the_portal_is_its_page_and_each_file_of_its_folder_is_found_by_name(api: Subscribers) -> None:
    page = await api.send("GET", "/portal")
    assert page.reply.body == (FOLDER / "index.html").read_bytes()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in [path for path in FOLDER.iterdir() if path.suffix in TYPES]:
        answer = await api.send("GET", f"/portal/{path.name}")
        assert (answer.status, answer.reply.body) == (200, path.read_bytes())
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_page_that_is_known_is_not_sent_again(api: Subscribers) -> None:
    first = await api.send("GET", "/portal")
    assert first.headers["cache-control"] == "no-cache"
    again = await api.send("GET", "/portal", headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status, again.reply.body, again.headers["etag"]) == (304, b"", first.headers["etag"])


@pytest.mark.parametrize(
    "path",
    [
        "/portal/../main.py",
        "/portal/%2e%2e/main.py",
        "/portal//etc/passwd",
        "/portal/openapi.json",
        "/portal/README.md",
        "/portal/app.js%00",
    ],
)
async def test_nothing_outside_the_folder_is_served(api: Subscribers, path: str) -> None:
    answer = await api.send("GET", path)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_the_page_runs_its_own_scripts_only_and_is_embedded_by_nobody_unless_allowed(api: Subscribers) -> None:
    headers = (await api.send("GET", "/portal")).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")

    origins = ("https://app.example.com", "https://admin.example.com")
    settings = replace(read_settings(SLICE), portal_origins=origins, portal_logo="https://cdn.example.com/a/logo.svg")
    headers = (await Subscribers(settings=settings).send("GET", "/portal")).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors https://app.example.com https://admin.example.com" in policy
    assert "img-src 'self' data: https://cdn.example.com;" in policy
    assert "x-frame-options" not in headers


async def test_another_method_is_405_and_a_slash_too_many_leads_to_the_page(api: Subscribers) -> None:
    answer = await api.send("POST", "/portal", {})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await api.send("OPTIONS", "/portal")).status == 204
    moved = await api.send("GET", "/portal/")
    assert (moved.status, moved.headers["location"]) == (308, "../portal")


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/openapi.json"])
async def test_the_openapi_document_is_there_for_everybody(api: Subscribers, path: str) -> None:
    assert (await api.send("GET", path)).reply.body == Path("functions/subscribe/openapi.json").read_bytes()


# The OpenAPI document: made of the routes and models, checked in as it is, and valid

CHECKED_IN: Final = FILE.read_text(encoding="utf-8")


def test_the_document_that_is_checked_in_is_the_one_that_the_routes_make() -> None:
    assert text() == CHECKED_IN, "run: python -m functions.subscribe.openapi"


def test_the_document_is_valid_openapi() -> None:
    validate(json.loads(CHECKED_IN))


# The page about the API says what the code does

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
