"""What the tests of the page share: its configuration, its requests and what they wait for."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from shared.jsontext import JsonObject
from tests.chromium import Page
from tests.processes import PATIENCE_SECONDS
from tests.stack import Stack

PASSWORD = "a-password-of-this-test"
CONFIG = """
sources:
  form:
    auth: {scheme: basic, username: web, secret: form-password}
    actor: data.mail
routes:
  - name: tell the list
    from: form
    types: [signup.*]
    to: list
  - name: only once
    from: form
    types: [once]
    to: impatient
  - name: step by step
    from: form
    types: [stepped]
    steps: [{drop: [data.password]}, {filter: {keep: data.paid, reason: not paid yet}}]
    to: list
  - name: tell nobody
    from: form
    types: [never]
    to: list
destinations:
  list:
    email: {to: [ann@example.com], subject: "New: {{ data.name }}"}
    retry: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
  impatient:
    email: {to: [bob@example.com], subject: "Once: {{ data.name }}"}
    retry: []
"""


def send(stack: Stack, document: JsonObject, password: str = PASSWORD) -> int:
    proof = base64.b64encode(f"web:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {proof}"}
    request = urllib.request.Request(f"{stack.url}/form", json.dumps(document).encode(), headers)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while (status := status_of(request)) == 503 and time.monotonic() < give_up_at:  # as senders do
        pass
    return status


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def call(stack: Stack, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> int:
    url = f"http://127.0.0.1:{stack.base + 10}{path}"
    return status_of(urllib.request.Request(url, body, dict(headers), method=method))


async def event_shown(page: Page, text: str, status: str) -> None:
    """In the list, with that status."""
    row = f"[...document.querySelectorAll('.rows a')].find((e) => e.innerText.includes({json.dumps(text)}))"
    await page.until(f"{row}?.innerText.includes({json.dumps(status)}) ?? false")
