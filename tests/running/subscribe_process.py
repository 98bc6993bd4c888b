"""The function subscribe in a process of its own, with its documents in a folder, and an API key of the operator."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from functions.subscribe.credentials import api_key_text, read_api_key
from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.jsontext import JsonObject
from shared.subscribers.directory import API_KEYS
from shared.subscribers.model import ApiKey
from tests.running.ports import free_port
from tests.running.processes import Request, functions_framework, started
from tests.stand_ins.bus import command

KEY_ID: Final = "operator0000"
SLICE: Final[JsonObject] = {
    "function": "subscribe",
    "subscribers": {"limits": {"endpoints": 50}, "allow_private": True, "allow_http": True, "verify": "none"},
    "destinations": {"customers": {"payload": "standard"}},
    "event_types": {"order.paid": {"examples": [{"total": 12}]}},
}


@dataclass(frozen=True, slots=True)
class SubscribeProcess:
    """`key` may do all."""

    port: int
    key: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def keep_key(state: Path) -> str:
    """Keep an API key as the command does that makes the first one."""
    text = api_key_text(KEY_ID, secrets.token_bytes(32))
    parts = read_api_key(text)
    assert parts
    documents = LocalDocuments(state / FILE_NAME)
    key = ApiKey(id=KEY_ID, scopes=("admin",), digests=((parts.digest, None),))
    await documents.write(API_KEYS, KEY_ID, key.text())
    documents.close()
    return text


def environment(folder: Path, compiled: JsonObject, bus_port: int) -> dict[str, str]:
    slice_file = folder / "slice.json"
    slice_file.write_text(json.dumps(compiled), encoding="utf-8")
    return {
        "HOOKCHAIN_SLICE": str(slice_file),
        "HOOKCHAIN_STATE": str(folder / "state"),
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus_port}",
        "SECRETS_DIR": str(folder / "secrets"),
        "SUBSCRIBERS_KEY": "0123456789abcdefghijklmnopqrstuvwxyz",
    }


@contextlib.contextmanager
def serving(folder: Path, key: str) -> Iterator[SubscribeProcess]:
    bus_port, port = free_port(), free_port()
    with (
        started(command("rest", bus_port), {}, bus_port, Request("/", b"", {}), ready="open"),
        started(
            functions_framework("functions/subscribe", "subscribe", port),
            environment(folder, SLICE, bus_port),
            port,
            Request("/v1/tenants", b"", {}),
            ready="405",
        ),
    ):
        yield SubscribeProcess(port, key)
