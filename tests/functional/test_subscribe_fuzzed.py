"""Schemathesis over the API: what it sends is answered as the OpenAPI document says, and never with a 5xx."""

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from functions.subscribe.openapi import FILE
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.cloud.local.ledger import LocalLedger
from shared.jsontext import JsonObject
from shared.subscribers.directory import messages_of
from shared.subscribers.model import Message
from tests.running.processes import BIN, PATIENCE_SECONDS
from tests.running.subscribe_process import KEY_ID, SubscribeProcess, keep_key, serving
from tests.unit.subscribe.ledgers import attempted

CHECKS: Final = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance,negative_data_rejection,ignored_auth,unsupported_method"
)
ENDING: Final = ("delete_tenant", "delete_endpoint", "delete_key", "rotate_key", "revoke_sessions", "revoke_session")
"""Operations after which all others would find nothing."""
NOW: Final = 1_790_000_000.0

pytestmark = pytest.mark.slow


def sent(process: SubscribeProcess, method: str, path: str, body: JsonObject) -> JsonObject:
    headers = {"authorization": f"Bearer {process.key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{process.url}{path}", json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        document: JsonObject = json.load(answer)
        return document


async def keep_attempt(state: Path, endpoint: str, message_id: str) -> None:
    """Leave a failed attempt at the message behind, as notify does."""
    documents = LocalDocuments(state / FILE_NAME)
    found = await documents.get(messages_of("acme"), message_id)
    documents.close()
    assert found
    ledger = LocalLedger(state / "ledger.db")
    await attempted(ledger, Message.model_validate_json(found.text), "acme", endpoint, NOW, "dead_lettered")
    await ledger.close()


def filled(process: SubscribeProcess, state: Path) -> dict[str, str]:
    """Make one of each thing. Return the parameters of the paths, and a portal token."""
    sent(process, "PUT", "/v1/tenants/acme", {})
    endpoint = sent(process, "POST", "/v1/tenants/acme/endpoints", {"url": "https://customer.example.com/"})
    path = f"/v1/tenants/acme/endpoints/{endpoint['id']}/test"
    test = sent(process, "POST", path, {"type": "order.paid"})
    capabilities: JsonObject = {"capabilities": ["view", "manage", "resend", "reveal_secret"]}
    session = sent(process, "POST", "/v1/tenants/acme/portal-tokens", capabilities)
    asyncio.run(keep_attempt(state, str(endpoint["id"]), str(test["message_id"])))
    return {
        "tenant": "acme",
        "endpoint": str(endpoint["id"]),
        "message": str(test["message_id"]),
        "delivery": str(test["delivery_id"]),
        "session": str(session["session"]),
        "type": "order.made",
        "key": KEY_ID,
        "token": str(session["token"]),
    }


def fuzz(process: SubscribeProcess, folder: Path, by: str, parameters: Mapping[str, str], *more: str) -> str:
    """Run schemathesis with that key or token. `parameters` are those of the paths: others are made up."""
    config = folder / "schemathesis.toml"
    lines = [f'{name} = "{value}"' for name, value in parameters.items()]
    config.write_text("\n".join(["[parameters]", *lines]) + "\n", encoding="utf-8")
    command = [str(BIN / "schemathesis"), "--config-file", str(config), "run", str(FILE)]
    command += ["--url", process.url, "-H", f"Authorization: Bearer {by}", "--checks", CHECKS, "--seed", "7"]
    command += ["--phases", "coverage,fuzzing", "--max-examples", "12", "--suppress-health-check", "all"]
    command += ["--continue-on-failure", "--no-color", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr
    return done.stdout


def test_whatever_is_sent_is_answered_as_documented_and_never_with_a_5xx(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serving(tmp_path, asyncio.run(keep_key(state))) as process:
        parameters = filled(process, state)
        token = parameters.pop("token")
        lasting = [part for name in ENDING for part in ("--exclude-operation-id", name)]
        assert "Tested: 3" in fuzz(process, tmp_path, process.key, parameters, *lasting)
        fuzz(process, tmp_path, token, parameters, "--include-operation-id", "get_portal_info")
        ending = [part for name in ENDING for part in ("--include-operation-id", name)]
        fuzz(process, tmp_path, process.key, {}, *ending)  # ids that are made up: none ends what others need
