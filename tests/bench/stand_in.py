"""Everything that the functions talk to, in one process that answers at once.

`python -m tests.bench.stand_in PORT FOLDER`: Pub/Sub confirms each message and appends the request to `<topic>.jsonl`
in the folder, of which the next function's load is made. The identity provider of pushes has the keys of the folder's
own emulator. The mail service accepts each mail, and a receiver each webhook. As AWS, it confirms each message to SQS
and keeps it in the same way; in DynamoDB each condition holds, and nothing is found.
"""

import asyncio
import json
import sys
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

from deploy.dev.pubsub.push_tokens import PushTokens
from shared.cloud.gcp.push_identity import EMULATED_KEYS_PATH
from shared.jsontext import Json, JsonObject

MAIL_PATH: Final = "/v3/mail/send"
HOOK_PATH: Final = "/hook"


class StandIn(asyncio.Protocol):
    folder: Path
    keys: JsonObject

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head, after = self._pending[:end], end + 4 + _content_length(self._pending[:end])
            if len(self._pending) < after:
                return
            body, self._pending = self._pending[end + 4 : after], self._pending[after:]
            self._transport.write(self._answer(head, body))

    def _answer(self, head: bytes, body: bytes) -> bytes:
        path = head.split(b" ", 2)[1].decode()
        if action := _aws_action(head):
            return self._aws_answer(action, body)
        if path.endswith(":publish"):
            self._keep(path.rpartition("/")[2].removesuffix(":publish").rpartition("-")[2], body)
            return _response("200 OK", {"messageIds": ["1"] * max(1, body.count(b'"data":'))})
        if path == MAIL_PATH:
            return _response("202 Accepted\r\nx-message-id: 1", {})
        if path == HOOK_PATH:
            return _response("200 OK", {})
        if path == EMULATED_KEYS_PATH:
            return _response("200 OK", self.keys)
        return _response("404 Not Found", {})

    def _aws_answer(self, action: str, body: bytes) -> bytes:
        document = json.loads(body)
        match action:
            case "SendMessageBatch":
                entries = document["Entries"]
                self._keep(str(document["QueueUrl"]).rpartition("-")[2], json.dumps({"messages": entries}).encode())
                return _response("200 OK", {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []})
            case "BatchGetItem":
                return _response("200 OK", {"Responses": {table: [] for table in document["RequestItems"]}})
            case _:
                return _response("200 OK", {})

    def _keep(self, topic: str, request: bytes) -> None:
        file = _record(self.folder, topic)
        file.write(request + b"\n")
        file.flush()


def recorded_messages(folder: Path, topic: str) -> list[Json]:
    """Return the messages that were published to the topic since they were last taken."""
    path = folder / f"{topic}.jsonl"
    result = folder / f"{topic}.taken"
    offset = int(result.read_text()) if result.is_file() else 0
    with path.open("rb") as file:
        file.seek(offset)
        lines = file.read()
    result.write_text(str(offset + len(lines)))
    return [message for line in lines.splitlines() for message in json.loads(line)["messages"]]


@cache
def _record(folder: Path, topic: str) -> BinaryIO:
    return (folder / f"{topic}.jsonl").open("ab")


def _response(status: str, document: Json) -> bytes:
    text = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


def _aws_action(head: bytes) -> str:
    """Return the action of a request to AWS; empty for another request."""
    _, found, target = head.lower().partition(b"\r\nx-amz-target: ")
    start = len(head) - len(target)
    return head[start:].partition(b"\r\n")[0].decode().rpartition(".")[2] if found else ""


def _content_length(head: bytes) -> int:
    lines = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(next(lines, b"content-length:0").partition(b":")[2])


async def _serve(port: int, folder: Path) -> None:
    protocol = type("StandInOf", (StandIn,), {"folder": folder, "keys": PushTokens(folder).keys()})
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
