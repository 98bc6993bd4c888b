"""Make the ports of a function: the bus, the stores, the secrets and the others that it uses on its platform.

Each function below returns one port. The platform is AWS if the settings have its region: `aws_place` then returns
where it is. Otherwise it is this machine if the settings name an emulated Pub/Sub (`is_local`), whose stores are files
unless the settings name an emulated store too. Otherwise it is Google Cloud. The module of a port is imported when the
port is made, so a process imports nothing of another platform.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from shared import http, logs, ports
from shared.errors import Rejected, Temporary, TemporaryCode
from shared.jsontext import JsonObject, mapping_at
from shared.secrets import Reader, SecretStore, from_environment, from_folder
from shared.settings import TELEMETRY, Settings

if TYPE_CHECKING:
    from shared.cloud.aws.batches import Queues
    from shared.cloud.aws.client import AwsClient, AwsPlace
    from shared.cloud.gcp.firestore import Firestore
    from shared.cloud.gcp.tokens import Authorization
    from shared.cloud.kept_by_key import ClosableDocuments, DocumentStore
    from shared.fetch import Fetch
    from shared.journal import Journal
    from shared.ledger import Ledger
    from shared.outgoing.authenticator import CloudIdentity
    from shared.outgoing.gate import ProcessGate
    from shared.push import VerifyPush
    from shared.retention import Retention
    from shared.signatures.aws_v4 import Credentials
    from shared.store_ports import Documents, Grants, Records
    from shared.telemetry.exporter import Exporter, Post

PUBSUB_ENDPOINT: Final = "https://pubsub.googleapis.com"
FIRESTORE_ENDPOINT: Final = "https://firestore.googleapis.com"
STORAGE_ENDPOINT: Final = "https://storage.googleapis.com"

# How many messages the bus gives a process at once: at first, and at most, once all are acknowledged.
CLOUD_RUN_FIRST_PLACES: Final = 4
"""Pub/Sub begins with a single-digit number."""
CLOUD_RUN_PLACES: Final = 40
"""The concurrency of an instance, as in deploy/topology/functions.py."""
EMULATED_FIRST_PLACES: Final = 32
EMULATED_PLACES: Final = 125
LAMBDA_PLACES: Final = 1_000
"""More than any batch has: an invocation on Lambda handles only its own batch, so nobody else needs its places."""

EMULATED_DELAY_SECONDS: Final = 900.0
"""The longest delay of a message on the emulated Pub/Sub. It is that of SQS; the real Pub/Sub has no delays."""
TAP_DATABASE: Final = "-tap"
"""The end of the name of the database with the leases of the tap, which begins with the name of the ledger's."""
GOOGLE_PROJECT: Final = "gcp.project_id"
"""The attribute of a resource that names the project of its spans, for Google Cloud's endpoint."""
NO_DATABASE: Final = "this platform's settings name no database: set HOOKCHAIN_FIRESTORE"


class SystemClock:
    # Not a method that calls it, because each event asks for the time a dozen times.
    now = staticmethod(time.time)


def bus(settings: Settings, *, batches_on_lambda: bool = True) -> ports.Bus:
    """Return the bus. Set `batches_on_lambda` to False for a function that gets one request at a time there."""
    if place := aws_place(settings):
        from shared.cloud.aws.sqs import SqsBus

        return SqsBus(place, settings.queues, batches=batches_on_lambda)
    from shared.cloud.gcp.pubsub import PubSubBus

    host = settings.emulator_host
    return PubSubBus(
        endpoint(host, PUBSUB_ENDPOINT),
        settings.project,
        settings.topic_prefix,
        _authorization(settings, host),
        max_delay_seconds=EMULATED_DELAY_SECONDS if host else 0.0,
    )


def endpoint(emulated_host: str | None, google: str) -> str:
    """Return the URL of the emulator, or Google's if there is no emulator."""
    if not emulated_host:
        return google
    return emulated_host if "://" in emulated_host else f"http://{emulated_host}"


def process_gate(settings: Settings, now: Callable[[], float] = time.monotonic) -> "ProcessGate":
    """Return the gate of this process. It has as many places as the bus gives this process messages at once."""
    from shared.outgoing.gate import ProcessGate
    from shared.outgoing.loop_time import LoopTime

    if settings.is_aws:
        return ProcessGate(now, LAMBDA_PLACES, LAMBDA_PLACES, LoopTime(now))
    if settings.is_local:
        return ProcessGate(now, EMULATED_PLACES, EMULATED_FIRST_PLACES, LoopTime(now))
    return ProcessGate(now, CLOUD_RUN_PLACES, CLOUD_RUN_FIRST_PLACES, LoopTime(now))


def blobs(settings: Settings) -> ports.Blobs | None:
    """Return the store of blobs; None if the settings name no bucket. On this machine, it is a folder then."""
    if place := aws_place(settings):
        from shared.cloud.aws.s3 import S3Blobs

        return S3Blobs(place, settings.bucket) if settings.bucket else None
    if settings.is_local and not (settings.storage_host and settings.bucket):
        from shared.cloud.local.blobs import LocalBlobs

        return LocalBlobs(settings.state_folder / "blobs")
    if not settings.bucket:
        return None
    from shared.cloud.gcp.storage import BucketBlobs

    host = settings.storage_host
    return BucketBlobs(endpoint(host, STORAGE_ENDPOINT), settings.bucket, _authorization(settings, host))


def fetch(*, keeps: bool = True) -> "Fetch":
    """Return the guarded fetch, the same on every platform. `keeps` as in GuardedFetch."""
    # Imported here, because it imports ssl, which not every function needs.
    from shared.outgoing.guarded_fetch import GuardedFetch

    return GuardedFetch(keeps=keeps)


def journal(settings: Settings, retention: "Retention | None" = None) -> "Journal | None":
    """Return the journal; None if the settings name no database for one.

    `retention` says how long entries are kept. The clouds store it with each entry.
    """
    if place := aws_place(settings):
        from shared.cloud.aws.journal import DynamoJournal
        from shared.retention import Retention

        return DynamoJournal(place, settings.table_prefix, blobs(settings), retention or Retention())
    if store := _firestore(settings, "journal_unavailable"):
        from shared.cloud.gcp.journal import FirestoreJournal
        from shared.retention import Retention

        return FirestoreJournal(store, blobs(settings), retention or Retention())
    if not settings.is_local:
        return None
    from shared.cloud.local.journal import FILE_NAME, LocalJournal

    return LocalJournal(settings.state_folder / FILE_NAME)


def ledger(settings: Settings) -> "Ledger":
    """Return the ledger. Raises Temporary if the settings name none: without a ledger, a retry could deliver twice."""
    if place := aws_place(settings):
        from shared.cloud.aws.ledger import DynamoLedger

        return DynamoLedger(place, settings.table_prefix)
    if store := _firestore(settings, "ledger_unavailable"):
        from shared.cloud.gcp.ledger import FirestoreLedger

        return FirestoreLedger(store)
    if not settings.is_local:
        raise Temporary("ledger_unavailable", "this platform's settings name no ledger: set HOOKCHAIN_FIRESTORE")
    from shared.cloud.local.ledger import FILE_NAME, LocalLedger

    return LocalLedger(settings.state_folder / FILE_NAME)


def owners(settings: Settings) -> ports.Owners:
    """Return the owners. If the settings name no database, it is their `owner` that raises Temporary.

    Only an event that is signed in part needs them, so that a function without a database serves all other events.
    """
    from shared.cloud.kept_by_key import DocumentOwners

    has_database = settings.is_aws or settings.is_local or settings.firestore
    return DocumentOwners(_open_documents(settings, "owners")) if has_database else _NoOwners()


def grants(settings: Settings) -> "Grants":
    """Return the grants. Raises Temporary if the settings name none: without grants, nothing would enforce the caps."""
    from shared.cloud.grant_rules import RecordedGrants
    from shared.cloud.kept_by_key import DocumentRecords

    return RecordedGrants(DocumentRecords(_open_documents(settings, "grants"), "grants_unavailable"))


def records(settings: Settings) -> "Records":
    """Return the records. Raises Temporary if the settings name no database."""
    from shared.cloud.kept_by_key import DocumentRecords

    return DocumentRecords(_open_documents(settings, "records"))


def documents(settings: Settings) -> "Documents":
    """Return the documents. Raises Temporary if the settings name no database."""
    return _open_documents(settings, "documents")


def leases(settings: Settings) -> "Documents":
    """Return the documents with the leases of the tap. Raises Temporary if the settings name no database.

    On Firestore, these are in a separate database: developers write leases, and a permission there is for a whole
    database.
    """
    tap_database = f"{settings.firestore}{TAP_DATABASE}" if settings.firestore else settings.firestore
    return _open_documents(settings._replace(firestore=tap_database), "documents")


def tap_topic(settings: Settings) -> "Callable[[str], str]":
    """Return the function that returns the topic for the copies of a tap, by the name of its lease.

    On AWS, each lease has a queue. On Pub/Sub, all leases share one topic.
    """
    return (lambda name: f"{ports.TAP}-{name}") if settings.is_aws else (lambda _: ports.TAP)


def _open_documents(settings: Settings, store: "DocumentStore") -> "ClosableDocuments":
    """Return one of the stores of documents. Raises Temporary if the settings name no database."""
    from shared.cloud.kept_by_key import UNAVAILABLE

    if place := aws_place(settings):
        from shared.cloud.aws.documents import DynamoDocuments

        return DynamoDocuments(place, settings.table_prefix, store)
    if firestore := _firestore(settings, UNAVAILABLE[store]):
        from shared.cloud.gcp.documents import FirestoreDocuments

        return FirestoreDocuments(firestore, store)
    if not settings.is_local:
        raise Temporary(UNAVAILABLE[store], NO_DATABASE)
    from shared.cloud.local.documents import LocalDocuments

    return LocalDocuments(settings.state_folder / f"{store}.db", store)


class _NoOwners:
    async def owner(self, *_: object) -> str:
        raise Temporary("owners_unavailable", NO_DATABASE)


def cloud_identity(settings: Settings) -> "CloudIdentity":
    """Return the identities with which this function authenticates to other systems."""
    from shared.outgoing.authenticator import CloudIdentity

    if aws_place(settings):
        return CloudIdentity(aws_role=_aws_credentials)
    if not settings.metadata_host:
        return CloudIdentity()
    from shared.cloud.gcp.tokens import MetadataIdentity, ScopedTokens

    return CloudIdentity(MetadataIdentity(settings.metadata_host), ScopedTokens(settings.metadata_host))


def verify_push(settings: Settings) -> "VerifyPush":
    """Return the check of who pushes over HTTP. On Lambda nobody may: IAM says which queues invoke a function."""
    if settings.is_aws:
        return _reject_push
    from shared.cloud.gcp.push_identity import PushVerifier

    return PushVerifier(settings).verify


async def _reject_push(_: http.Request) -> None:
    raise Rejected("push_identity_mismatch", "on Lambda the queue brings the messages, and nobody pushes")


def secrets(settings: Settings, environ: Mapping[str, str]) -> SecretStore:
    """Return the secrets: of the folder, of `environ`, and of the cloud's secret manager, looked for in this order."""
    readers: list[Reader] = [from_folder(settings.secrets_folder), from_environment(environ)]
    if place := aws_place(settings):
        from shared.cloud.aws.secrets_manager import from_secrets_manager

        return SecretStore(tuple(readers), SystemClock(), from_secrets_manager(place, settings.topic_prefix))
    if settings.project and not settings.is_local:
        from shared.cloud.gcp.secret_manager import from_secret_manager

        readers.append(from_secret_manager(settings.project, settings.topic_prefix))
    return SecretStore(tuple(readers), SystemClock())


def exporter(settings: Settings, function: str, slice_: JsonObject, secrets: ports.Secrets) -> "Exporter | None":
    """Return what exports the function's spans; None if telemetry is off, or its URL cannot be used."""
    if TELEMETRY not in slice_:
        return None
    # Imported here, because few deployments export.
    from shared.telemetry import exporter as otlp, metrics

    section = mapping_at(slice_, TELEMETRY)
    resources = _telemetry_resources(settings, function, mapping_at(section, "resource"))
    if "cloud" in section:
        post = _cloud_post(settings, str(section["cloud"]), otlp.SEND_SECONDS)
        return otlp.Exporter(post, otlp.Spans(resources))
    secret = section.get("headers_secret")
    try:
        otlp_post = otlp.OtlpPost(str(section["otlp"]), secrets, secret if isinstance(secret, str) else None)
    except Exception as error:  # what is wrong with the collector must not stop a function
        logs.log("WARNING", "telemetry not sent", detail=f"its URL cannot be used: {type(error).__name__}")
        return None
    own_metrics = metrics.Metrics(resources[function], SystemClock.now) if section.get("metrics", True) else None
    return otlp.Exporter(otlp_post, otlp.Spans(resources, str(section.get("traces_path", otlp.TRACES))), own_metrics)


def _telemetry_resources(settings: Settings, function: str, configured: JsonObject) -> dict[str, JsonObject]:
    """Return the resources of spans and metrics by function: this one, and `receive`, whose spans transform records."""
    from shared.telemetry import spans

    cloud: JsonObject = {}
    if settings.is_aws:
        cloud = {spans.CLOUD_PROVIDER: "aws", spans.CLOUD_REGION: settings.aws_region}
    elif settings.metadata_host:
        cloud = {spans.CLOUD_PROVIDER: "gcp", GOOGLE_PROJECT: settings.project}
    prefix = settings.topic_prefix or "hookchain-"
    resources: dict[str, JsonObject] = {}
    for name in ("receive", function):
        resources[name] = {spans.SERVICE_NAME: f"{prefix}{name}", **cloud, **configured}
    # Only this function sends metrics, and a collector tells the series of its instances apart by this id.
    resources[function][spans.SERVICE_INSTANCE_ID] = token_hex(16)
    return resources


def _cloud_post(settings: Settings, cloud: str, timeout_seconds: float) -> "Post":
    """Return what posts spans to the cloud's own endpoint. Where that is another cloud, or this machine, it drops
    them: the page still has them."""
    place = aws_place(settings)
    if cloud == "aws" and place is not None and place.endpoint is None:
        from shared.cloud.aws.otlp import AwsPost

        return AwsPost(place, timeout_seconds)
    if cloud == "google_cloud" and settings.metadata_host:
        from shared.cloud.gcp.otlp import ENDPOINT, GooglePost

        return GooglePost(ENDPOINT, settings.project, _authorization(settings, None), timeout_seconds)
    from shared.telemetry.exporter import NoPost

    return NoPost()


def messaging_system(settings: Settings) -> str:
    """Return the bus by its name in OpenTelemetry's semantic conventions."""
    return "aws_sqs" if settings.is_aws else "gcp_pubsub"


def ses(settings: Settings) -> "AwsClient | None":
    """Return Amazon SES, which sends mail; None on another platform, where mails go another way."""
    place = aws_place(settings)
    if place is None:
        return None
    from shared.cloud.aws.client import AwsClient

    return AwsClient(place, "ses", host="email")


def queues(settings: Settings) -> "Queues":
    """Return the calls about messages that Lambda reads from a queue. Raises Temporary on another platform."""
    from shared.cloud.aws.batches import Queues

    if place := aws_place(settings):
        return Queues(place)
    raise Temporary("bus_unavailable", "only Lambda reads queues: AWS_LAMBDA_FUNCTION_NAME and AWS_REGION are not set")


def aws_place(settings: Settings) -> "AwsPlace | None":
    """Return the region, endpoint and credentials of AWS; None on another platform."""
    return _cached_place(settings.aws_region, settings.aws_endpoint) if settings.aws_region else None


@cache
def _cached_place(region: str, endpoint: str | None) -> "AwsPlace":
    from shared.cloud.aws.client import AwsPlace

    return AwsPlace(region, _aws_credentials, endpoint)


def _aws_credentials() -> "Credentials":
    """Return the role's keys, which Lambda puts into the environment. Raises Temporary."""
    from shared.signatures.aws_v4 import credentials_in

    try:
        return credentials_in(os.environ)
    except KeyError as error:
        raise Temporary("credentials_unavailable", f"no AWS credentials: {error.args[0]} is not set") from error


def _firestore(settings: Settings, code: TemporaryCode) -> "Firestore | None":
    """Return the database, whose calls raise Temporary with the code; None if the settings name none.

    On this machine, only an emulated Firestore is used, and never Google's.
    """
    if not settings.firestore or (settings.is_local and not settings.firestore_host):
        return None
    from shared.cloud.gcp.firestore import Firestore

    host = settings.firestore_host
    url = endpoint(host, FIRESTORE_ENDPOINT)
    return Firestore(url, settings.project, settings.firestore, _authorization(settings, host), code)


def _authorization(settings: Settings, emulated_host: str | None) -> "Authorization":
    """Return what authorizes calls to Google Cloud: nothing for an emulator, else this function's service account."""
    from shared.cloud.gcp.tokens import no_authorization

    return no_authorization if emulated_host else _google_authorization(settings.metadata_host)


@cache
def _google_authorization(metadata_host: str | None) -> "Authorization":
    """Return one authorization for all ports, so that an instance asks for one token."""
    from shared.cloud.gcp.tokens import google_authorization, metadata_authorization

    return metadata_authorization(metadata_host) if metadata_host else google_authorization()
