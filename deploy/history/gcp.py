"""The state of a deployment on Google Cloud, or in Google's emulators: its ports, and the operator's access to them."""

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from deploy.cloud_access import gcp, inboxes
from deploy.cloud_access.gcp_names import Target, bucket, database, labels, tap_database
from deploy.history import firestore_journal, journal_view, state
from shared import errors, ports
from shared.cloud import kept_by_key, platform
from shared.cloud.gcp import documents, firestore, ledger, pubsub, storage, tokens
from shared.settings import Settings, read_settings

TOKEN_SECONDS: Final = 600.0
"""gcloud keeps its token for an hour, and does not say when it expires."""
MAX_ANSWER_BYTES: Final = 200_000_000
"""The most bytes of an answer of Firestore."""
BEYOND_REACH: Final = (
    "messages in Pub/Sub: an event that is being processed is stored again. Pub/Sub keeps a message for 7 days at "
    "most: run the command again then",
    "the subscription dead-letters-hold: it keeps each dead letter for 31 days. deploy/gcp/README.md says how to empty "
    "it",
    "copies of requests that developers got with `hookchain listen`, which wait for 7 days at most",
    "backups and exports of the database, and its point-in-time recovery, if you enabled them",
)
EMULATED: Final = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


@dataclass(frozen=True, slots=True)
class GcpPorts:
    """The ports of one deployment, or of the emulators that `settings` name. Each call makes a port of its own."""

    target: Target
    settings: Settings

    def journal(self) -> journal_view.JournalView:
        return firestore_journal.FirestoreJournalReader(self._firestore("journal_unavailable"), self.make_blobs())

    def make_ledger(self) -> ledger.FirestoreLedger:
        return ledger.FirestoreLedger(self._firestore("ledger_unavailable"))

    def make_blobs(self) -> storage.BucketBlobs:
        endpoint = platform.endpoint(self.settings.storage_host, platform.STORAGE_ENDPOINT)
        return storage.BucketBlobs(endpoint, bucket(self.target), self._authorization())

    def make_records(self) -> kept_by_key.DocumentRecords:
        store = self._firestore("records_unavailable")
        return kept_by_key.DocumentRecords(documents.FirestoreDocuments(store, "records"))

    def make_documents(self) -> documents.FirestoreDocuments:
        return documents.FirestoreDocuments(self._firestore("documents_unavailable"))

    def make_bus(self) -> pubsub.PubSubBus:
        endpoint = platform.endpoint(self.settings.emulator_host, platform.PUBSUB_ENDPOINT)
        return pubsub.PubSubBus(endpoint, self.target.project, self.target.prefix, self._authorization())

    def make_leases(self) -> documents.FirestoreDocuments:
        return documents.FirestoreDocuments(self._firestore("documents_unavailable", tap_database(self.target)))

    def make_inboxes(self, project: str | None = None) -> inboxes.GoogleInboxes:
        """Return the inboxes. Their subscriptions are in `project`, or else in the deployment's."""
        return inboxes.GoogleInboxes(
            platform.endpoint(self.settings.emulator_host, platform.PUBSUB_ENDPOINT),
            f"projects/{self.target.project}/topics/{self.target.name_of(ports.TAP)}",
            project or self.target.project,
            labels(self.target),
            self._authorization(),
        )

    def _firestore(self, code: errors.TemporaryCode, database_name: str = "") -> firestore.Firestore:
        """Return a database, by default the deployment's. `code` is that of the Temporary that its calls raise."""
        endpoint = platform.endpoint(self.settings.firestore_host, platform.FIRESTORE_ENDPOINT)
        name = database_name or database(self.target)
        return firestore.Firestore(endpoint, self.target.project, name, self._authorization(), code, MAX_ANSWER_BYTES)

    def _authorization(self) -> tokens.Authorization:
        return tokens.no_authorization if self.settings.is_local else operator_authorization(os.environ)


def deployment_ports(target: Target, environ: Mapping[str, str]) -> GcpPorts:
    """Return the deployment's ports, or the emulators'.

    Raises StateFault where only some services are emulated: a command would read one and change the other.
    """
    emulated = [name for name in EMULATED if environ.get(name)]
    if emulated and len(emulated) < len(EMULATED):
        missing = " and ".join(name for name in EMULATED if name not in emulated)
        raise state.StateFault(f"{' and '.join(emulated)}: set without {missing}. Set all of them or none.")
    return GcpPorts(target, read_settings(environ))


def operator_authorization(environ: Mapping[str, str]) -> tokens.Authorization:
    """Return the operator's access: the account in GOOGLE_APPLICATION_CREDENTIALS, else the one signed in to gcloud."""
    if environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return tokens.google_authorization()
    return tokens.RenewedToken(_gcloud_token).header


async def _gcloud_token() -> tokens.Token:
    try:
        text = await asyncio.to_thread(gcp.token_of(gcp.Gcloud()))
    except (gcp.NotSignedIn, gcp.GcloudMissing) as fault:
        raise errors.Temporary("credentials_unavailable", str(fault)) from fault
    return tokens.Token(text, time.time() + TOKEN_SECONDS)


def open_gcp_state(target: Target, environ: Mapping[str, str]) -> AbstractContextManager[state.State]:
    """Open the state of the deployment. Raises StateFault."""
    return state.open_cloud_state(deployment_ports(target, environ), environ, BEYOND_REACH)
