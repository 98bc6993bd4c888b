"""Which ports the settings lead to; and that an emulated bus means that Google's own services are asked for nothing."""

from pathlib import Path

import pytest

from shared.cloud import platform
from shared.cloud.gcp.journal import FirestoreJournal
from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.gcp.owners import FirestoreOwners
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal import LocalJournal
from shared.cloud.local.ledger import LocalLedger
from shared.errors import Temporary
from shared.settings import Settings, read_settings

DEPLOYED = {
    "GOOGLE_CLOUD_PROJECT": "a-project",
    "HOOKCHAIN_PREFIX": "hookchain-",
    "HOOKCHAIN_FIRESTORE": "hookchain",
    "HOOKCHAIN_BUCKET": "a-project-hookchain-blobs",
    "K_SERVICE": "hookchain-notify",
}
EMULATED_BUS = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}
EMULATED = {**EMULATED_BUS, "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "STORAGE_EMULATOR_HOST": "127.0.0.1:2"}


def kinds_of(settings: Settings) -> tuple[type, ...]:
    ports = (platform.ledger(settings), platform.journal(settings), platform.blobs(settings), platform.owners(settings))
    return tuple(type(port) for port in ports)


@pytest.mark.parametrize("environ", [DEPLOYED, {**DEPLOYED, **EMULATED}], ids=["deployed", "all of it emulated"])
def test_on_google_cloud_the_ports_are_googles(environ: dict[str, str]) -> None:
    kinds = kinds_of(read_settings(environ))
    assert kinds == (FirestoreLedger, FirestoreJournal, BucketBlobs, FirestoreOwners)


@pytest.mark.parametrize(
    "environ", [EMULATED_BUS, {**DEPLOYED, **EMULATED_BUS}], ids=["as dev", "names of a cloud too"]
)
def test_beside_an_emulated_bus_alone_everything_is_on_this_machine(environ: dict[str, str], tmp_path: Path) -> None:
    settings = read_settings({**environ, "HOOKCHAIN_STATE": str(tmp_path)})
    assert kinds_of(settings)[:3] == (LocalLedger, LocalJournal, LocalBlobs)


def test_settings_that_name_no_place_have_no_ledger_and_say_what_to_set() -> None:
    settings = read_settings({"GOOGLE_CLOUD_PROJECT": "a-project"})
    assert (platform.journal(settings), platform.blobs(settings)) == (None, None)
    with pytest.raises(Temporary, match="set HOOKCHAIN_FIRESTORE"):
        platform.ledger(settings)


@pytest.mark.parametrize("host", ["127.0.0.1:2", "http://127.0.0.1:2"])
def test_an_emulated_storage_is_named_with_or_without_its_scheme(host: str) -> None:
    assert isinstance(platform.blobs(read_settings({**DEPLOYED, "STORAGE_EMULATOR_HOST": host})), BucketBlobs)
