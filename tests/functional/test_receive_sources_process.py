"""Links, browser forms, allow lists, schemas and batches as they are served, over real sockets."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from tests.functional.test_receive_process import Served
from tests.ports import free_port
from tests.processes import ROOT, Request, functions_framework, started
from tests.standins import command

KEY = "a key for links, long enough"
CONFIG = """
sources:
  go: {methods: [GET], auth: {scheme: link, secret: link-key}}
  contact:
    auth: none
    form: {origins: https://www.example.com, honeypot: website, thanks: https://www.example.com/thanks}
  office: {auth: none, allow: 203.0.113.0/24, trusted_proxies: 1}
  here: {auth: none, allow: [127.0.0.1, '::1']}
  checked: {auth: none, schema: {type: object, required: [email]}}
  many: {auth: none, batch: data.events.*, id: data.id, respond: {body: '[accepted]'}}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("sources")
    slice_file = folder / "slice.json"
    slices = compile_config(parse_config(CONFIG, "test.yaml", Path()))
    slice_file.write_text(json.dumps(slices["receive"]), encoding="utf-8")
    bus_port, port = free_port(), free_port()
    environ = {
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus_port}",
        "HOOKCHAIN_SLICE": str(slice_file),
        "HOOKCHAIN_STATE": str(folder),
        "LINK_KEY": KEY,
    }
    first = Request("/here", b"{}", {"Content-Type": "application/json"})
    with (
        started(command("rest", bus_port), {}, bus_port, first, ready="open"),
        started(functions_framework("functions/receive", "receive", port), environ, port, first) as running,
    ):
        yield Served(running)


def link(folder: Path, *arguments: str) -> str:
    """The path and query of one that the command makes."""
    config = folder / "hookchain.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "link", "go", *arguments, "--config", str(config)],
        cwd=ROOT,
        env={"LINK_KEY": KEY},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().removeprefix("http://localhost:8080")


def get(served: Served, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    lines = "".join(f"{header}\r\n" for header in headers)
    answer = served.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}Connection: close\r\n\r\n".encode())
    return answer.status, answer.body


def test_a_link_for_once_names_the_same_event_each_time_and_looking_at_it_names_none(
    served: Served, tmp_path: Path
) -> None:
    path = link(tmp_path, "serial=C02 XL", "--once")
    looked = served.raw(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert looked.status == 200
    (first, body), (second, again) = get(served, path), get(served, path)
    assert (first, second) == (200, 200)
    assert json.loads(body)["id"] == json.loads(again)["id"]
    assert get(served, path, "Sec-Purpose: prefetch")[0] == 403
    assert get(served, path.replace("C02", "C03"))[0] == 401


def test_a_form_leads_to_its_thanks_page_and_another_pages_form_does_not(served: Served) -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    result = served.post("/contact", b"email=a&website=", form, "Origin: https://www.example.com")
    trapped = served.post("/contact", b"email=a&website=x", form, "Origin: https://www.example.com")
    assert (result.status, result.headers["location"]) == (303, "https://www.example.com/thanks")
    assert (trapped.status, trapped.headers["location"]) == (303, "https://www.example.com/thanks")
    rejected = served.post("/contact", b"email=a", form, "Origin: https://evil.example")
    assert (rejected.status, rejected.code) == (403, "origin_not_allowed")
    preflight = served.raw(b"OPTIONS /contact HTTP/1.1\r\nHost: x\r\nOrigin: https://www.example.com\r\n\r\n")
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "https://www.example.com")
    assert '"reason":"honeypot"' in served.logs


def test_only_allowed_addresses_get_in(served: Served) -> None:
    assert served.post("/here", b"{}", "Content-Type: application/json").status == 200
    inside = served.post("/office", b"{}", "X-Forwarded-For: 198.51.100.1, 203.0.113.5")
    outside = served.post("/office", b"{}", "X-Forwarded-For: 203.0.113.5, 198.51.100.1")
    assert (inside.status, outside.status, outside.code) == (200, 403, "address_not_allowed")


def test_a_schema_and_a_batch_and_an_answer_of_its_own(served: Served) -> None:
    rejected = served.post("/checked", b'{"a": 1}', "Content-Type: application/json")
    assert (rejected.status, rejected.code) == (422, "schema_mismatch")
    result = served.post("/many", b'{"events": [{"id": 1}, {"id": 2}]}', "Content-Type: application/json")
    assert (result.status, result.body) == (200, b"[accepted]")
    assert '"count":2' in served.logs
