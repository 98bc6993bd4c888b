"""S3's and Secrets Manager's own ways to fail."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.aws.secrets_manager import from_secrets_manager
from shared.errors import Temporary
from shared.secrets import SecretDenied, SecretStore, SecretStoreUnreachable
from tests.aws.canned import Canned, canned, json_error, xml_error
from tests.aws.local_aws import KEYS, REGION, boto_client
from tests.fakes.clock import FakeClock

OK = web.Response(status=200)


@asynccontextmanager
async def bucket(*replies: web.Response) -> AsyncIterator[tuple[S3Blobs, Canned]]:
    async with canned(*replies) as s3:
        blobs = S3Blobs(s3.place, "a-bucket")
        yield blobs, s3
        blobs.close()


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidRequest"), (404, "NoSuchBucket"), (500, "InternalError")])
async def test_a_bucket_that_rejects_is_temporary(status: int, code: str) -> None:
    async with bucket(xml_error(status, code)) as (blobs, _):
        for call in (blobs.put("a", b"1"), blobs.create("a", b"1"), blobs.get("a"), blobs.delete("a")):
            with pytest.raises(Temporary, match=f"S3 answered {status} {code}") as error:
                await call
            assert error.value.code == "blobs_unavailable"


@pytest.mark.parametrize(
    "rejection",
    [xml_error(503, "SlowDown"), xml_error(400, "RequestTimeout"), xml_error(409, "ConditionalRequestConflict")],
    ids=lambda rejection: str(rejection.status),
)
async def test_what_a_bucket_rejects_for_a_moment_is_asked_for_again(rejection: web.Response) -> None:
    """A sender that is told 503 may never send again."""
    async with bucket(rejection, rejection, OK) as (blobs, s3):
        await blobs.create("a", b"1")
    assert [asked.method for asked in s3.asked] == ["PUT"] * 3


async def test_creating_asks_for_an_object_that_is_not_there_and_takes_one_that_is() -> None:
    async with bucket(xml_error(412, "PreconditionFailed")) as (blobs, s3):
        await blobs.create("events/a:b", b"1")
    [asked] = s3.asked
    assert (asked.path, asked.headers["if-none-match"]) == ("/a-bucket/events/a%3Ab", "*")


async def test_a_bucket_has_a_host_of_its_own_in_aws() -> None:
    place = AwsPlace(REGION, lambda: KEYS)
    assert S3Blobs(place, "a-bucket").url == "https://a-bucket.s3.eu-central-1.amazonaws.com/"
    assert S3Blobs(place, "a.bucket").url == "https://s3.eu-central-1.amazonaws.com/a.bucket/"
    assert S3Blobs(place._replace(endpoint="http://127.0.0.1:1"), "a-bucket").url == "http://127.0.0.1:1/a-bucket/"


async def test_an_object_that_may_not_be_there_says_which_permissions_tell() -> None:
    async with bucket(xml_error(403, "AccessDenied")) as (blobs, _):
        with pytest.raises(Temporary, match="or s3:ListBucket on the bucket"):
            await blobs.get("a")


async def test_storage_that_does_not_answer_is_temporary(free_port: int) -> None:
    blobs = S3Blobs(AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{free_port}"), "a-bucket")
    with pytest.raises(Temporary, match="S3 did not answer: NotConnected"):
        await blobs.get("a")


@pytest.fixture
def secret_name() -> str:
    return f"s-{uuid.uuid4().hex[:12]}"


async def test_a_secret_is_the_current_version_of_the_prefixed_name(aws: AwsPlace, secret_name: str) -> None:
    manager = boto_client(aws, "secretsmanager")
    manager.create_secret(Name=f"hookchain-{secret_name}", SecretString="older")
    manager.put_secret_value(SecretId=f"hookchain-{secret_name}", SecretString="schlüssel\n")
    assert await from_secrets_manager(aws, "hookchain-")(secret_name) == "schlüssel\n"


async def test_a_secret_that_is_not_there_or_was_never_given_a_value_is_none(aws: AwsPlace, secret_name: str) -> None:
    read = from_secrets_manager(aws, "hookchain-")
    assert await read(secret_name) is None
    boto_client(aws, "secretsmanager").create_secret(Name=f"hookchain-{secret_name}")
    assert await read(secret_name) is None


async def test_a_secret_of_bytes_is_text_in_utf_8(aws: AwsPlace, secret_name: str) -> None:
    boto_client(aws, "secretsmanager").create_secret(Name=secret_name, SecretBinary="schlüssel".encode())
    assert await from_secrets_manager(aws)(secret_name) == "schlüssel"


async def test_a_secret_that_is_being_deleted_is_an_answer_about_it(aws: AwsPlace, secret_name: str) -> None:
    manager = boto_client(aws, "secretsmanager")
    manager.create_secret(Name=secret_name, SecretString="x")
    manager.delete_secret(SecretId=secret_name)
    with pytest.raises(Temporary, match="answered 400 InvalidRequestException") as error:
        await from_secrets_manager(aws)(secret_name)
    assert not isinstance(error.value, SecretStoreUnreachable)


async def test_a_secret_that_this_role_may_not_read_may_not_be_there_at_all() -> None:
    async with canned(json_error(400, "AccessDeniedException")) as manager:
        with pytest.raises(SecretDenied, match="read no secret 'hookchain-crm-key', or there is none"):
            await from_secrets_manager(manager.place, "hookchain-")("crm-key")


@pytest.mark.parametrize(("status", "error"), [(400, "ThrottlingException"), (500, "InternalServiceError"), (503, "")])
async def test_a_secrets_manager_that_is_busy_or_down_says_nothing_about_the_secret(status: int, error: str) -> None:
    async with canned(json_error(status, error)) as manager:
        with pytest.raises(SecretStoreUnreachable, match=f"Secrets Manager answered {status}"):
            await from_secrets_manager(manager.place)("crm-key")


@pytest.mark.parametrize("error", ["DecryptionFailure", "UnrecognizedClientException"])
async def test_a_key_that_is_gone_or_a_rejected_role_is_an_answer_about_the_secret(error: str) -> None:
    async with canned(json_error(400, error)) as manager:
        with pytest.raises(Temporary) as caught:
            await from_secrets_manager(manager.place)("crm-key")
    assert not isinstance(caught.value, SecretStoreUnreachable)


async def test_a_secrets_manager_that_does_not_answer_is_an_error_of_the_network(free_port: int) -> None:
    with pytest.raises(OSError, match="ConnectionRefused"):
        await from_secrets_manager(AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{free_port}"))("crm-key")


async def test_secrets_manager_is_asked_for_what_no_nearer_place_has() -> None:
    nearer: Callable[[str], str | None] = {"near": "a-strong-value-of-24-char"}.get
    async with canned(web.json_response({"SecretString": "another-value-of-24-chars"})) as manager:
        store = SecretStore((nearer,), FakeClock(), from_secrets_manager(manager.place))
        assert await store.values("near") == ("a-strong-value-of-24-char",)
        assert await store.values("far") == ("another-value-of-24-chars",)
    assert [json.loads(asked.body) for asked in manager.asked] == [{"SecretId": "far"}]
