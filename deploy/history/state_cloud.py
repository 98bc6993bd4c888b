"""What a bundle keeps on Google Cloud, reached with the operator's own credentials."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from deploy.config.checkout import EXAMPLE_CONFIG, ROOT, choose_config
from deploy.google.api import NotSignedIn, token_of
from deploy.google.gcloud import Gcloud, GcloudMissing
from deploy.google.names import bucket, database
from deploy.google.target import Target
from deploy.history.cloud_journal import CloudJournal
from deploy.history.state import State, StateFault
from shared.cloud import platform
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import Authorization, Token, no_authorization, renewed
from shared.errors import Temporary
from shared.settings import Settings, read_settings

ASK_AGAIN_SECONDS: Final = 600.0
"""gcloud keeps its token for an hour, and does not say when it ends."""
MAX_ANSWER_BYTES: Final = 200_000_000
EMULATED: Final = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """Where one bundle's ports are, and how they are asked. Each call makes a port of its own."""

    target: Target
    settings: Settings

    def journal(self) -> CloudJournal:
        return CloudJournal(self._firestore("journal"), self.make_blobs())

    def make_ledger(self) -> FirestoreLedger:
        return FirestoreLedger(self._firestore("ledger"))

    def make_blobs(self) -> BucketBlobs:
        endpoint = _endpoint(self.settings.storage_host, platform.STORAGE_ENDPOINT)
        return BucketBlobs(endpoint, bucket(self.target), self._authorization())

    def make_bus(self) -> PubSubBus:
        endpoint = _endpoint(self.settings.emulator_host, platform.PUBSUB_ENDPOINT)
        return PubSubBus(endpoint, self.target.project, self.target.prefix, self._authorization())

    def _firestore(self, part: str) -> Firestore:
        endpoint = _endpoint(self.settings.firestore_host, platform.FIRESTORE_ENDPOINT)
        names = self.target.project, database(self.target)
        return Firestore(endpoint, *names, self._authorization(), part, MAX_ANSWER_BYTES)

    def _authorization(self) -> Authorization:
        return no_authorization if self.settings.is_local else operator_authorization(os.environ)


def place_of(target: Target, environ: Mapping[str, str]) -> CloudPlace:
    """Raises StateFault where some of the cloud is emulated and some is not: one would act on the other."""
    emulated = [name for name in EMULATED if environ.get(name)]
    if emulated and len(emulated) < len(EMULATED):
        missing = " and ".join(name for name in EMULATED if name not in emulated)
        raise StateFault(f"{' and '.join(emulated)} is set and {missing} is not: set all of them, or unset it")
    return CloudPlace(target, read_settings(environ))


def _endpoint(host: str | None, googles: str) -> str:
    if host is None:
        return googles
    return host if "://" in host else f"http://{host}"


def operator_authorization(environ: Mapping[str, str]) -> Authorization:
    """Of the service account that GOOGLE_APPLICATION_CREDENTIALS names, else of whoever is signed in to gcloud."""
    if environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        from shared.cloud.gcp.tokens import google_authorization

        return google_authorization()
    return renewed(_gcloud_token)


async def _gcloud_token() -> Token:
    try:
        text = await asyncio.to_thread(token_of(Gcloud()))
    except (NotSignedIn, GcloudMissing) as fault:
        raise Temporary("credentials", str(fault)) from fault
    return Token(text, time.time() + ASK_AGAIN_SECONDS)


@contextmanager
def opened(target: Target, environ: Mapping[str, str]) -> Iterator[State]:
    """Raises StateFault."""
    place = place_of(target, environ)
    reader = place.journal()
    try:
        yield State(
            reader=reader,
            ledger=lambda: closing(place.make_ledger()),
            blobs=lambda: closing(place.make_blobs()),
            bus=lambda: closing(place.make_bus()),
            destinations=lambda: configured_destinations(environ),
        )
    finally:
        reader.close()


class Port(Protocol):
    def close(self) -> None: ...


AnyPort = TypeVar("AnyPort", bound=Port)


@asynccontextmanager
async def closing(port: AnyPort) -> AsyncIterator[AnyPort]:
    try:
        yield port
    finally:
        port.close()
        await asyncio.sleep(0)  # in which its connections are gone


def configured_destinations(environ: Mapping[str, str]) -> Sequence[str]:
    """Of the operator's configuration here; none where there is none that reads."""
    from deploy.config.compiler import read_config  # slow to import
    from deploy.config.faults import ConfigFaults

    path = choose_config(environ, ROOT)
    if path == ROOT / EXAMPLE_CONFIG:
        return ()
    try:
        document = read_config(path, environ).document
    except ConfigFaults:
        return ()
    destinations = document.get("destinations") if isinstance(document, dict) else None
    return tuple(destinations) if isinstance(destinations, dict) else ()
