"""The three functions over the ports of a platform, and what those have sent and stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from functions.notify import entry as notify_entry
from functions.notify.destination import Attempt
from functions.notify.notifier import Notifier
from functions.notify.registry import Destinations, read_destinations
from functions.notify.waiting.caps import Caps
from functions.notify.waiting.pauses import Breakers, DestinationStates
from functions.notify.waiting.sweep import Sweeper
from functions.receive.receive import Receiver
from functions.receive.source import Source
from functions.transform import entry as transform_entry
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.fetch import Fetch, Fetched
from shared.journal import Journal, JournalEntry
from shared.jsontext import JsonObject
from shared.ledger import Ledger, LedgerRow
from shared.outgoing.gate import ProcessGate
from shared.ports import Blobs, Bus, BusMessage
from shared.push import VerifyPush
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestinations, a_context
from tests.fakes.fetch import FakeFetch
from tests.fakes.grants import FakeGrants
from tests.fakes.journal import FakeJournal
from tests.fakes.ledger import FakeLedger
from tests.fakes.owners import FakeOwners
from tests.fakes.pushes import from_anybody
from tests.fakes.secrets import FakeSecrets
from tests.in_process.receiving import PublishedSecrets
from tests.portability.sending import SECRETS

FUNCTIONS: Final = ("receive", "transform", "notify")


class SometimesDestination:
    """A destination that decides by the delivery's id what comes of an attempt."""

    dedupes_repeats = False

    def __init__(self) -> None:
        self.attempts: list[tuple[Delivery, Attempt]] = []

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        self.attempts.append((delivery, attempt))
        match int(delivery.id[0], 16):
            case 0:
                return RetryLater("busy there", after_seconds=90.0)
            case 1:
                return Failed("request_rejected", "no such list")
            case 2:
                return Unknown("no answer came")
            case 3:
                raise Temporary("secret_unavailable", "a secret does not exist")
            case 4:
                raise ValueError("hunter2")
        return Delivered("202 Accepted")


class Ports(NamedTuple):
    """The ports of one function."""

    bus: Bus
    blobs: Blobs
    journal: Journal
    ledger: Ledger
    verify_push: VerifyPush


class Kept(Protocol):
    """What the functions of a platform have sent and stored."""

    def sent(self) -> list[tuple[str, BusMessage]]: ...

    def bodies(self) -> Mapping[str, bytes]:
        """Return the blobs by the SHA-256 of their names."""
        ...

    def entries(self) -> list[JournalEntry]: ...

    def rows(self) -> list[LedgerRow]:
        """Return the ledger's rows, sorted by key."""
        ...

    def ports(self, function: str) -> Ports: ...


class Faked:
    """Fakes, which all functions share."""

    def __init__(self) -> None:
        self._bus, self._blobs, self._journal, self._ledger = FakeBus(), FakeBlobs(), FakeJournal(), FakeLedger()

    def ports(self, _: str) -> Ports:
        return Ports(self._bus, self._blobs, self._journal, self._ledger, from_anybody)

    def sent(self) -> list[tuple[str, BusMessage]]:
        return self._bus.sent

    def bodies(self) -> Mapping[str, bytes]:
        return {sha256(name.encode()).hexdigest(): content for name, content in self._blobs.contents.items()}

    def entries(self) -> list[JournalEntry]:
        return self._journal.entries

    def rows(self) -> list[LedgerRow]:
        return sorted(self._ledger.table.values())


@dataclass
class Parts:
    """The functions of one platform, over its ports.

    `sending`: notify's slice, whose destinations send through `way_out`. Without it, they only note what they get.
    """

    sources: Mapping[str, Source]
    secrets: Mapping[str, str]
    routes: JsonObject
    fetched: Mapping[str, bytes] = field(default_factory=dict)
    are_weak_secrets_allowed: bool = False
    kept: Kept = field(default_factory=Faked)
    sending: JsonObject | None = None
    way_out: Fetch | None = None

    def __post_init__(self) -> None:
        self.clock, self.destination = FakeClock(), SometimesDestination()
        receive, transform, notify = (self.kept.ports(name) for name in FUNCTIONS)
        fetch = FakeFetch({url: Fetched(200, (), content) for url, content in self.fetched.items()})
        ids = iter(range(10**6))
        published = PublishedSecrets(self.secrets)
        self.receiver = Receiver(
            self.sources,
            published if self.are_weak_secrets_allowed else FakeSecrets(self.secrets),
            receive.bus,
            receive.blobs,
            self.clock,
            random_id=lambda: f"{next(ids):032x}",
            fetch=fetch,
        )
        program = read_program(self.routes)
        transformer = Transformer(
            program.routes, transform.bus, transform.blobs, transform.journal, self.clock, owners=FakeOwners()
        )
        type_words = dict.fromkeys(self.sources, 4)
        self.transform = transform_entry.Service(transformer, program.chains, None, transform.verify_push, type_words)
        states, grants = DestinationStates(notify.ledger, self.clock), FakeGrants()
        gate = ProcessGate(self.clock.now, 10_000, 10_000)
        notifier = Notifier(
            destinations=self._destinations(notify.blobs),
            states=states,
            ledger=notify.ledger,
            bus=notify.bus,
            journal=notify.journal,
            clock=self.clock,
            breakers=Breakers(states, self.clock, gate),
            gate=gate,
            caps=Caps(lambda: grants, self.clock),
        )
        sweeper = Sweeper(notify.ledger, notify.bus, self.clock)
        self.notify = notify_entry.Service(notifier, sweeper, notify.journal, notify.verify_push)

    def _destinations(self, blobs: Blobs) -> Destinations:
        if self.sending is None:
            return FakeDestinations({"archive": self.destination, "crm": self.destination})
        context = replace(a_context(FakeSecrets(SECRETS), self.way_out), blobs=blobs, clock=self.clock)
        return Destinations(read_destinations(self.sending), context)

    def sent_on(self, topic: str) -> list[BusMessage]:
        return [message for name, message in self.kept.sent() if name == topic]
