"""The pages: the portal's files, how they may be embedded, and that nothing else is served."""

from dataclasses import replace
from pathlib import Path

import pytest

from functions.subscribe.pages import FOLDER, TYPES
from functions.subscribe.service import read_settings
from tests.fakes.subscribe_api import SLICE, Subscribers


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
