"""A destination over HTTP whose answers a test gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from functions.notify.destination import Attempt, Context
from functions.notify.http_engine import HttpDestination
from functions.notify.http_kind import (
    OutgoingRequest,
    Response,
    SecretValues,
    outcome_by_status,
)
from shared.delivery import Delivery, Outcome
from shared.fetch import Fetched
from shared.jsontext import to_json
from shared.settings import read_settings
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.notifier import DELIVERY
from tests.fakes.secrets import FakeSecrets

URL = "https://crm.example.com/in"
ATTEMPT = Attempt("key-1", 1, 0, 1_790_000_000.0, 15.0)
TOKEN = "token-of-the-crm-1234"


@dataclass
class FakeKind:
    """Posts the event's data with its secret in a header, and judges a response by its status."""

    answer: OutgoingRequest = field(default_factory=lambda: OutgoingRequest("POST", URL))
    deliveries: list[Delivery] = field(default_factory=list)

    def request(self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:
        self.deliveries.append(delivery)
        headers = tuple((f"x-{name}", values[0]) for name, values in secrets.items())
        return replace(self.answer, headers=headers, body=to_json(delivery.event.data).encode())

    def outcome(self, response: Response) -> Outcome:
        return outcome_by_status(response, "the CRM", failed={400})


@dataclass
class Engine:
    fetch: FakeFetch
    kind: FakeKind = field(default_factory=FakeKind)
    secrets: FakeSecrets = field(default_factory=lambda: FakeSecrets({"crm-token": TOKEN}))
    blobs: FakeBlobs = field(default_factory=FakeBlobs)

    async def attempt(
        self, delivery: Delivery = DELIVERY, *, success_when: str | None = None, names: Sequence[str] = ()
    ) -> Outcome:
        context = Context(self.secrets, read_settings({}), self.blobs, FakeClock(), fetch=lambda: self.fetch)
        return await HttpDestination(self.kind, None, names, context, success_when).attempt(delivery, ATTEMPT)


def answering(status: int, body: bytes = b"", **headers: str) -> Engine:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Engine(FakeFetch({URL: Fetched(status, named, body)}))
