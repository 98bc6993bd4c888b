"""Which ports the settings lead to; and that an emulated bus means that Google's own services are asked for nothing."""

import time
from pathlib import Path

import pytest

from shared.cloud import platform
from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.aws.journal import DynamoJournal
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.kept_by_key import DocumentOwners, DocumentRecords
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.journal import LocalJournal
from shared.cloud.local.ledger import LocalLedger
from shared.errors import Temporary
from shared.settings import Settings, read_settings
from shared.signatures.aws_v4 import Credentials

DEPLOYED = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "HOOKCHAIN_PREFIX": "hookchain-",
    "HOOKCHAIN_FIRESTORE": "hookchain",
    "HOOKCHAIN_BUCKET": "a-project-hookchain-blobs",
    "K_SERVICE": "hookchain-notify",
}
EMULATED_BUS = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}
EMULATED = {**EMULATED_BUS, "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "STORAGE_EMULATOR_HOST": "127.0.0.1:2"}

ON_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "hookchain-notify",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "HOOKCHAIN_BUCKET": "hookchain-blobs",
    "HOOKCHAIN_EVENTS_QUEUE": "https://sqs.eu-central-1.amazonaws.com/123456789012/hookchain-events",
    "HOOKCHAIN_PREFIX": "hookchain-",
    "HOOKCHAIN_TABLES": "hookchain-",
}


def kinds_of(settings: Settings) -> tuple[type, ...]:
    parts = (platform.ledger, platform.journal, platform.blobs, platform.documents)
    assert isinstance(platform.records(settings), DocumentRecords)
    assert isinstance(platform.owners(settings), DocumentOwners)
    return tuple(type(part(settings)) for part in parts)


@pytest.mark.parametrize("environ", [DEPLOYED, {**DEPLOYED, **EMULATED}], ids=["deployed", "all of it emulated"])
def test_on_google_cloud_the_ports_are_googles(environ: dict[str, str]) -> None:
    kinds = kinds_of(read_settings(environ))
    assert kinds == (FirestoreLedger, FirestoreJournal, BucketBlobs, FirestoreDocuments)


@pytest.mark.parametrize(
    "environ", [EMULATED_BUS, {**DEPLOYED, **EMULATED_BUS}], ids=["as dev", "names of a cloud too"]
)
def test_beside_an_emulated_bus_alone_everything_is_on_this_machine(environ: dict[str, str], tmp_path: Path) -> None:
    settings = read_settings({**environ, "HOOKCHAIN_STATE": str(tmp_path)})
    assert kinds_of(settings) == (LocalLedger, LocalJournal, LocalBlobs, LocalDocuments)


def test_settings_that_name_no_place_have_no_ledger_and_say_what_to_set() -> None:
    settings = read_settings({"GOOGLE_CLOUD_PROJECT": "a-project"})
    assert (platform.journal(settings), platform.blobs(settings)) == (None, None)
    for part in (platform.ledger, platform.documents):
        with pytest.raises(Temporary, match="set HOOKCHAIN_FIRESTORE"):
            part(settings)


def test_on_lambda_the_ports_are_those_of_aws() -> None:
    settings = read_settings(ON_LAMBDA)
    assert kinds_of(settings) == (DynamoLedger, DynamoJournal, S3Blobs, DynamoDocuments)
    assert type(platform.bus(settings)) is SqsBus
    assert platform.ses(settings) is not None
    cloud = platform.cloud_identity(settings)
    assert (cloud.identity_token, cloud.access_token, cloud.aws_role is None) == (None, None, False)


def test_the_ports_of_aws_share_one_place_whose_keys_are_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    place = platform.aws_place(read_settings(ON_LAMBDA))
    assert place is platform.aws_place(read_settings(ON_LAMBDA))
    assert place is not None
    for key in ("first", "second"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
        assert place.credentials() == Credentials(key, "s", "t")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Temporary, match="AWS_ACCESS_KEY_ID is not set"):
        place.credentials()


def test_the_gate_of_a_process_counts_its_waits_on_a_clock_that_nobody_sets() -> None:
    assert platform.process_gate(read_settings(DEPLOYED))._now is time.monotonic
