"""The databases that a test's ports have on an emulated Firestore."""

from itertools import count
from typing import Final

from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.tokens import no_authorization
from shared.errors import TemporaryCode
from shared.outgoing.http_client import MAX_ANSWER_BYTES
from tests.gcp.firestore_server import FirestoreServer

_DATABASES: Final = count(1)


class EmulatedFirestore:
    """A database of its own on a server that all of a session's tests may share."""

    def __init__(self, server: FirestoreServer, host: str, database: str = "") -> None:
        self.server = server
        self._host = host
        self._database = database or f"hookchain-{next(_DATABASES)}"

    def connect(
        self, code: TemporaryCode = "ledger_unavailable", max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> Firestore:
        names = "a-project", self._database
        return Firestore(f"http://{self._host}", *names, no_authorization, code, max_answer_bytes)

    def elsewhere(self, port: int, code: TemporaryCode = "ledger_unavailable") -> Firestore:
        return Firestore(f"http://127.0.0.1:{port}", "a-project", self._database, no_authorization, code)
