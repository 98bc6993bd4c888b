"""Cloud Storage's and Secret Manager's own ways to fail."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from shared.cloud.gcp.secret_manager import from_secret_manager
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import no_authorization
from shared.errors import Temporary
from shared.secrets import Reader, SecretDenied, SecretStoreUnreachable
from tests.gcp.storage_server import BUCKET, StorageServer
from tests.stand_ins.google_apis import StandIn, standing_in

if TYPE_CHECKING:
    from google.cloud.secretmanager import SecretManagerServiceClient

VERSION = "/secretmanager/v1/projects/a-project/secrets/hookchain-crm-key/versions/latest:access"


@pytest.fixture
async def blobs(storage: tuple[StorageServer, str]) -> AsyncIterator[BucketBlobs]:
    blobs = BucketBlobs(storage[1], BUCKET, no_authorization)
    yield blobs
    blobs.close()
    await asyncio.sleep(0)  # in which its connections are gone


@pytest.fixture
def server(storage: tuple[StorageServer, str]) -> StorageServer:
    return storage[0]


@pytest.mark.parametrize("status", [400, 403, 503])
async def test_a_bucket_that_rejects_is_temporary(server: StorageServer, blobs: BucketBlobs, status: int) -> None:
    server.refuse = status
    for call in (blobs.put("a", b"1"), blobs.get("a"), blobs.delete("a")):
        with pytest.raises(Temporary, match=f"Cloud Storage answered {status}"):
            await call


@pytest.mark.parametrize("status", [429, 503])
async def test_what_a_bucket_rejects_for_a_moment_is_asked_for_again(
    server: StorageServer, blobs: BucketBlobs, status: int
) -> None:
    """A sender that is told 503 may never send again."""
    server.passing = [status, status]
    await blobs.put("a", b"1")
    server.passing = [status]
    assert await blobs.get("a") == b"1"


async def test_an_account_that_may_only_create_stores_a_body_once(server: StorageServer, blobs: BucketBlobs) -> None:
    server.may_delete = False
    for _ in range(2):  # a sender's retry has the same name
        await blobs.create("event-hash", b"body")
    with pytest.raises(Temporary):
        await blobs.put("event-hash", b"forged")
    assert server.objects == {"event-hash": b"body"}


async def test_a_bucket_that_is_not_there_takes_nothing(storage: tuple[StorageServer, str]) -> None:
    blobs = BucketBlobs(storage[1], "another", no_authorization)
    with pytest.raises(Temporary, match="answered 404 when it was to take"):
        await blobs.put("a", b"1")
    blobs.close()
    await asyncio.sleep(0)


async def test_plain_names_are_kept_so_that_lifecycle_rules_can_tell_them_apart(
    server: StorageServer, blobs: BucketBlobs
) -> None:
    await blobs.put("dead-letters/4f2a9c", b"1")
    assert list(server.objects) == ["dead-letters/4f2a9c"]


async def test_storage_that_does_not_answer_is_temporary(free_port: int) -> None:
    blobs = BucketBlobs(f"http://127.0.0.1:{free_port}", BUCKET, no_authorization)
    with pytest.raises(Temporary, match="Cloud Storage did not answer: NotConnected"):
        await blobs.get("a")


@pytest.fixture
def google() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        yield stand_in


def client_of(host: str) -> "SecretManagerServiceClient":
    """Return Google's own client, over REST, led to a host."""
    pytest.importorskip("google.cloud.secretmanager", reason="pip install google-cloud-secret-manager")
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.secretmanager import SecretManagerServiceClient
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceRestTransport,
    )

    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call] # google-auth has none here
    transport = SecretManagerServiceRestTransport(host=host, credentials=credentials, url_scheme="http")
    return SecretManagerServiceClient(transport=transport)


@pytest.fixture
def read(google: StandIn) -> Reader:
    host = google.url.removeprefix("http://") + "/secretmanager"
    return from_secret_manager("a-project", "hookchain-", lambda: client_of(host))


def test_a_secret_is_the_latest_version_of_the_prefixed_name(google: StandIn, read: Reader) -> None:
    data = base64.b64encode("schlüssel\n".encode()).decode()
    google.answers(VERSION, {"name": "x/versions/2", "payload": {"data": data}})
    assert read("crm-key") == "schlüssel\n"


def test_a_secret_that_is_not_there_is_none(google: StandIn, read: Reader) -> None:
    assert read("crm-key") is None


def test_a_secret_that_this_account_may_not_read_may_not_be_there_at_all(google: StandIn, read: Reader) -> None:
    """So Google answers an account that was granted some secrets and asks for another, whether it is there or not."""
    google.refuses(VERSION, 403, "IAM_PERMISSION_DENIED")
    with pytest.raises(SecretDenied, match="read no secret 'hookchain-crm-key', or there is none"):
        read("crm-key")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_or_silent_secret_manager_says_nothing_of_the_secret(google: StandIn, read: Reader, status: int) -> None:
    google.refuses(VERSION, status, "SECRET_REFUSED")
    with pytest.raises(SecretStoreUnreachable, match=f"Secret Manager answered {status} for 'hookchain-crm-key'"):
        read("crm-key")


@pytest.mark.parametrize("status", [400, 401])
def test_a_disabled_version_or_a_rejected_account_is_an_answer_about_the_secret(
    google: StandIn, read: Reader, status: int
) -> None:
    google.refuses(VERSION, status, "SECRET_REFUSED")
    with pytest.raises(Temporary) as caught:
        read("crm-key")
    assert not isinstance(caught.value, SecretStoreUnreachable)


def test_a_secret_manager_without_connection_is_an_error_of_the_network(free_port: int) -> None:
    with pytest.raises(OSError, match="Connection refused"):
        from_secret_manager("a-project", "hookchain-", lambda: client_of(f"127.0.0.1:{free_port}"))("crm-key")
