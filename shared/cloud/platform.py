"""The ports on the platform that the settings describe. Imports only what that platform needs."""

import time
from collections.abc import Mapping

from shared.cloud.gcp.pubsub import PubSubBus, no_authorization
from shared.cloud.local.blobs import LocalBlobs
from shared.errors import Temporary
from shared.ports import Journal, Ledger
from shared.secrets import Reader, SecretStore, from_environment, from_folder
from shared.settings import Settings

PUBSUB_ENDPOINT = "https://pubsub.googleapis.com"


class SystemClock:
    def now(self) -> float:
        return time.time()


def blobs(settings: Settings) -> LocalBlobs | None:
    return LocalBlobs(settings.state_folder / "blobs") if settings.is_local else None


def bus(settings: Settings) -> PubSubBus:
    if settings.emulator_host:
        return PubSubBus(f"http://{settings.emulator_host}", settings.project, settings.topic_prefix, no_authorization)
    from shared.cloud.gcp.credentials import google_authorization

    return PubSubBus(PUBSUB_ENDPOINT, settings.project, settings.topic_prefix, google_authorization())


def journal(settings: Settings) -> Journal | None:
    if not settings.is_local:
        return None
    from shared.cloud.local.journal import LocalJournal

    return LocalJournal(settings.state_folder / "journal.db")


def ledger(settings: Settings) -> Ledger:
    """Raises Temporary where there is none: without it nothing may be delivered, for it would be delivered twice."""
    if not settings.is_local:
        raise Temporary("ledger", "this platform's settings name no ledger")
    from shared.cloud.local.ledger import LocalLedger

    return LocalLedger(settings.state_folder / "ledger.db")


def secrets(settings: Settings, environ: Mapping[str, str]) -> SecretStore:
    readers: list[Reader] = [from_folder(settings.secrets_folder), from_environment(environ)]
    if settings.project and not settings.is_local:
        from shared.cloud.gcp.secret_manager import from_secret_manager

        readers.append(from_secret_manager(settings.project))
    return SecretStore(tuple(readers), SystemClock())
