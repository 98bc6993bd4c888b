"""Subscribe as it is served: the API and the pages over HTTP, and a slice that does not load."""

import asyncio
import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.jsontext import JsonObject
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, functions_framework
from tests.running.subscribe_process import SubscribeProcess, environment, keep_key, serving


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SubscribeProcess]:
    folder = tmp_path_factory.mktemp("subscribe")
    with serving(folder, asyncio.run(keep_key(folder / "state"))) as running:
        yield running


def send(
    process: SubscribeProcess,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=PATIENCE_SECONDS)
    try:
        own = {"authorization": f"Bearer {process.key}", "content-type": "application/json"}
        connection.request(method, path, body, {**own, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, response.read())
    finally:
        connection.close()


def sent(process: SubscribeProcess, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
    answer = send(process, method, path, None if body is None else json.dumps(body).encode())
    assert answer.status < 300, answer
    document: JsonObject = json.loads(answer.body)
    return document


def test_a_tenant_gets_a_link_makes_an_endpoint_and_sends_itself_a_test(process: SubscribeProcess) -> None:
    sent(process, "PUT", "/v1/tenants/acme", {"name": "Acme"})
    made = sent(process, "POST", "/v1/tenants/acme/portal-tokens", {})
    assert str(made["url"]).startswith(f"{process.url}/portal#token=hpt_")
    tenant = SubscribeProcess(process.port, str(made["token"]))
    assert sent(tenant, "GET", "/v1/portal-info")["tenant"] == "acme"
    endpoint = sent(tenant, "POST", "/v1/tenants/acme/endpoints", {"url": "http://127.0.0.1:9000/in"})
    path = f"/v1/tenants/acme/endpoints/{endpoint['id']}"
    test = sent(tenant, "POST", f"{path}/test", {"type": "order.paid"})
    message = sent(tenant, "GET", f"/v1/tenants/acme/messages/{test['message_id']}")
    assert (message["test"], message["data"]) == (True, {"total": 12})
    assert sent(tenant, "GET", f"{path}/deliveries") == {"items": [], "next": None}  # no notify is running
    assert send(tenant, "GET", "/v1/tenants/other/endpoints").status == 404


def test_pages_are_served_with_head_and_not_modified(process: SubscribeProcess) -> None:
    page = send(process, "GET", "/portal")
    head = send(process, "HEAD", "/portal")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(page.body)))
    again = send(process, "GET", "/portal", headers={"if-none-match": page.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert send(process, "GET", "/portal/../main.py").status == 404
    assert send(process, "GET", "/docs").status == 200
    assert json.loads(send(process, "GET", "/v1/openapi.json").body)["openapi"] == "3.1.0"


def test_a_slice_that_does_not_load_ends_the_process_and_says_why(tmp_path: Path) -> None:
    environ = environment(tmp_path, {"function": "subscribe", "subscribers": {"verify": "telepathy"}}, free_port())
    command = functions_framework("functions/subscribe", "subscribe", free_port())
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode != 0
    assert "verify is one of none, challenge, cloudevents" in done.stdout + done.stderr
