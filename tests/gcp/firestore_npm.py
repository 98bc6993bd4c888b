"""npm's @firestore-emulator/server as a store. It speaks gRPC alone, so JSON is transcoded by Google's own protobuf
types, as Google's front end does it; it knows no isolation, which FirestoreServer brings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from shared.jsontext import JsonObject
from tests.gcp.firestore_memory import found_by
from tests.gcp.firestore_server import Rejection
from tests.running.npm_server import npm_server

if TYPE_CHECKING:
    import grpc

SERVICE: Final = "/google.firestore.v1.Firestore/"
SCRIPT: Final = """
const { FirestoreServer } = require(process.argv[1]);
new FirestoreServer().start(Number(process.argv[2])).then(() => console.log("ready"));
"""


@contextmanager
def npm_store(package: Path) -> Iterator["NpmStore"]:
    grpc = pytest.importorskip("grpc", reason="pip install grpcio: the npm emulator speaks gRPC")
    with npm_server(SCRIPT, package) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield NpmStore(channel)


class NpmStore:
    def __init__(self, channel: "grpc.Channel") -> None:
        self._channel = channel
        self._types = pytest.importorskip(
            "google.cloud.firestore_v1.types", reason="pip install google-cloud-firestore: it has Firestore's protobufs"
        )
        self._json = pytest.importorskip("google.protobuf.json_format")

    def read(self, names: list[str]) -> dict[str, JsonObject]:
        database = names[0].partition("/documents/")[0]
        body: JsonObject = {"database": database, "documents": list(names)}
        answers = self._stream("BatchGetDocuments", body)
        return {str(found["name"]): found for each in answers if isinstance(found := each.get("found"), dict)}

    def write(self, writes: list[JsonObject]) -> JsonObject:
        import grpc

        [first, *_] = writes
        update = first.get("update")
        name = str(update["name"] if isinstance(update, dict) else first["delete"])
        request = self._request("Commit", {"database": name.partition("/documents/")[0], "writes": list(writes)})
        try:
            answer = self._channel.unary_unary(SERVICE + "Commit", *self._codec("Commit"))(request)
        except grpc.RpcError as error:
            raise Rejection(error.code().name, error.details()) from error
        return self._document(answer)

    def query(self, parent: str, query: JsonObject) -> list[JsonObject]:
        is_by_name = "__name__" in str(query)  # which the emulator does not know
        asked: JsonObject = {"from": query["from"]} if is_by_name else query
        answers = self._stream("RunQuery", {"parent": parent, "structuredQuery": asked})
        found = [found for each in answers if isinstance(found := each.get("document"), dict)]
        return found_by(query, found) if is_by_name else found

    def _stream(self, name: str, body: JsonObject) -> list[JsonObject]:
        call = self._channel.unary_stream(SERVICE + name, *self._codec(name))
        return [self._document(answer) for answer in call(self._request(name, body))]

    def _codec(self, name: str) -> tuple[object, object]:
        request, response = (getattr(self._types, f"{name}{kind}").pb() for kind in ("Request", "Response"))
        return request.SerializeToString, response.FromString

    def _request(self, name: str, body: JsonObject) -> object:
        """Raises where the body is not what the protobuf says."""
        request: object = self._json.ParseDict(body, getattr(self._types, f"{name}Request").pb()())
        return request

    def _document(self, answer: object) -> JsonObject:
        document: JsonObject = self._json.MessageToDict(answer)
        return document
