"""A stand-in of Cloud Storage's objects, each request checked against Google's description; and lost answers."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.errors import Unanswered
from shared.fetch import Fetch, Fetched, Outgoing
from shared.jsontext import JsonObject, mapping_at, to_json
from tests.gcp.description import Description

TOKEN: Final = "ya29.of-the-storage-test"


@dataclass(slots=True)
class Losing:
    """The way out, on which the answers to the next `lost` requests are lost after the server acted on them."""

    inner: Fetch
    lost: int = 0
    asked: list[Outgoing] = field(default_factory=list)

    async def fetch(self, request: Outgoing) -> Fetched:
        self.asked.append(request)
        answer = await self.inner.fetch(request)
        if self.lost:
            self.lost -= 1
            raise Unanswered("host_unreachable", "the connection ended without an answer")
        return answer


@dataclass(slots=True)
class StoredObject:
    content: bytes
    content_type: str
    metadata: dict[str, str]


@dataclass(slots=True)
class CloudStorage:
    """Buckets by name, with their objects.

    Without the right to delete, which no role of a destination has, who would replace an object gets a 403.
    """

    buckets: dict[str, dict[str, StoredObject]]
    _description: Description = field(default_factory=lambda: Description("storage", "v1"))

    async def fetch(self, request: Outgoing) -> Fetched:
        await asyncio.sleep(0)
        parts = urlsplit(request.url)
        assert parts.netloc == "storage.googleapis.com"
        assert dict(request.headers)["authorization"] == f"Bearer {TOKEN}"
        query = dict(parse_qsl(parts.query))
        method = self._description.method(request.method, parts.path, query, None)
        bucket = self.buckets.get(parts.path.partition("/b/")[2].partition("/")[0])
        if bucket is None:
            return _answer(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}})
        if method.name == "storage.objects.insert":
            assert method.is_upload
            answer = self._insert(bucket, query, request)
        else:
            assert method.name == "storage.objects.get"
            answer = self._get(bucket, unquote(parts.path.rpartition("/")[2]))
        if answer.status == 200:
            self._description.check_answer(method, json.loads(answer.body))
        return answer

    def _insert(self, bucket: dict[str, StoredObject], query: dict[str, str], request: Outgoing) -> Fetched:
        assert (query["uploadType"], query["ifGenerationMatch"]) == ("multipart", "0")
        name = query["name"]
        described, found = self._parts(request)
        if name in bucket:
            return _answer(403, {"error": {"code": 403, "message": "it does not have storage.objects.delete access"}})
        bucket[name] = found
        return _answer(200, {"kind": "storage#object", "name": name, **described})

    def _parts(self, request: Outgoing) -> tuple[JsonObject, StoredObject]:
        """Read the multipart body (RFC 2387): the object's description, then its content."""
        kind, _, boundary = dict(request.headers)["content-type"].partition("; boundary=")
        assert kind == "multipart/related"
        line = b"--" + boundary.encode()
        assert request.body.endswith(b"\r\n" + line + b"--\r\n")
        _, first, second = request.body.removesuffix(b"\r\n" + line + b"--\r\n").split(line + b"\r\n")
        head, _, text = first.removesuffix(b"\r\n").partition(b"\r\n\r\n")
        assert head == b"Content-Type: application/json; charset=UTF-8"
        described: JsonObject = json.loads(text)
        assert not self._description.faults(described, "Object")
        head, _, content = second.partition(b"\r\n\r\n")
        assert head.decode() == f"Content-Type: {described['contentType']}"
        metadata = mapping_at(described["metadata"])
        return described, StoredObject(content, str(described["contentType"]), {k: str(v) for k, v in metadata.items()})

    def _get(self, bucket: dict[str, StoredObject], name: str) -> Fetched:
        if name not in bucket:
            return _answer(404, {"error": {"code": 404, "message": "No such object"}})
        return _answer(200, {"metadata": {**bucket[name].metadata}})


async def google_token(scope: str) -> str:
    assert scope == "https://www.googleapis.com/auth/devstorage.read_write"
    return TOKEN


def _answer(status: int, body: JsonObject) -> Fetched:
    return Fetched(status, (("content-type", "application/json"),), to_json(body).encode())
