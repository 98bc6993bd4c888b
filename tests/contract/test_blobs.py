"""What every implementation of the Blobs port, and its fake, must do."""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp import web

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.gcp.storage import BucketBlobs
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.local.blobs import LocalBlobs, purge_blobs
from shared.errors import Temporary
from shared.ports import Blobs
from tests.aws.local_aws import KEYS, boto_client
from tests.fakes.blobs import FakeBlobs
from tests.gcp.serving import served
from tests.gcp.storage_server import BUCKET, StorageServer


class ListedBlobs(Blobs, Protocol):
    async def names(self, beginning: str) -> Sequence[str]: ...


@pytest.fixture(params=["fake", "local", "storage", "s3"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ListedBlobs]:
    if request.param == "fake":
        yield FakeBlobs()
    elif request.param == "local":
        yield LocalBlobs(tmp_path / "blobs")
    elif request.param == "s3":
        place, name = request.getfixturevalue("aws"), f"blobs-{uuid.uuid4().hex}"
        boto_client(place, "s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": place.region}
        )
        in_s3 = S3Blobs(place, name)
        yield in_s3
        in_s3.close()
        await asyncio.sleep(0)  # in which its connections are gone
    else:
        _, url = request.getfixturevalue("storage")
        in_bucket = BucketBlobs(url, BUCKET, no_authorization)
        yield in_bucket
        in_bucket.close()
        await asyncio.sleep(0)  # in which its connections are gone


NO_BUCKET = "<Error><Code>NoSuchBucket</Code></Error>", '{"error": {"message": "The specified bucket does not exist."}}'


@pytest.mark.parametrize("body", ["", "<html>404 Not Found</html>", '{"message": "no Route matched"}', *NO_BUCKET])
async def test_only_the_stores_own_word_says_that_a_blob_is_gone(body: str) -> None:
    """What is gone ends a delivery for good, and a proxy's 404 passes."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404, text=body)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    with served(app) as host:
        in_s3 = S3Blobs(AwsPlace("eu-central-1", lambda: KEYS, f"http://{host}"), "bodies")
        in_bucket = BucketBlobs(f"http://{host}", BUCKET, no_authorization)
        for blobs in (in_s3, in_bucket):
            with pytest.raises(Temporary):
                await blobs.get("events/1")
            with pytest.raises(Temporary):
                await blobs.delete("events/1")
            blobs.close()
        await asyncio.sleep(0)  # in which their connections are gone


async def test_what_was_put_last_is_got_until_it_is_deleted(blobs: Blobs) -> None:
    large = bytes(range(256)) * 100_000
    await blobs.put("events/1", b"first")
    await blobs.put("events/1", large)
    assert await blobs.get("events/1") == large
    for _ in range(2):
        await blobs.delete("events/1")
    assert await blobs.get("events/1") is None


async def test_creating_a_name_that_exists_keeps_what_is_there(blobs: Blobs) -> None:
    await blobs.create("a", b"first")
    await blobs.create("a", b"second")
    assert await blobs.get("a") == b"first"


async def test_the_names_of_one_event_are_found_by_their_beginning(blobs: ListedBlobs) -> None:
    for name in ("e1-aa", "e1-bb&<", "e10-cc", "answers/e1/x"):
        await blobs.put(name, b"1")
    assert list(await blobs.names("e1-a")) == ["e1-aa"]
    assert list(await blobs.names("answers/e1/")) == ["answers/e1/x"]
    assert list(await blobs.names("e2")) == []


@pytest.mark.parametrize("name", ["../../outside", "..", "", "x" * 500, "nul\x00é \n"])
async def test_any_name_is_kept_apart_from_every_other(blobs: Blobs, name: str) -> None:
    await blobs.put("other", b"other")
    await blobs.put(name, b"mine")
    assert await blobs.get(name) == b"mine"
    assert await blobs.get("other") == b"other"


async def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    await LocalBlobs(tmp_path / "state" / "blobs").put("../../outside", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["blobs"]


async def test_a_folder_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(Temporary, match="cannot be written"):
        await LocalBlobs(tmp_path / "blobs").put("a", b"1")


async def test_what_is_older_than_its_time_goes_and_the_rest_stays(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    for name in ("answers/e1/a", "e1"):
        await blobs.put(name, b"old")
    for path in tmp_path.glob("blobs/*/*"):
        os.utime(path, (1_000, 1_000))
    await blobs.put("e2", b"young")

    assert purge_blobs(tmp_path / "blobs", 1_000) == 0
    assert purge_blobs(tmp_path / "blobs", 1_001) == 2
    assert [await blobs.get(name) for name in ("answers/e1/a", "e1", "e2")] == [None, None, b"young"]


async def test_what_is_needed_stays_however_old_it_is(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    await blobs.put("e1", b"needed")
    for path in tmp_path.glob("blobs/*/*"):
        os.utime(path, (1_000, 1_000))
    assert purge_blobs(tmp_path / "blobs", 2_000, {"e1"}) == 0
    assert await blobs.get("e1") == b"needed"


async def test_a_file_of_an_earlier_version_is_read_and_deleted(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"e1").hexdigest()
    path = tmp_path / digest[:2] / digest
    path.parent.mkdir()
    path.write_bytes(b"earlier")
    blobs = LocalBlobs(tmp_path)
    await blobs.create("e1", b"later")
    assert await blobs.get("e1") == b"earlier"
    await blobs.delete("e1")
    assert await blobs.get("e1") is None


async def test_a_long_list_of_names_comes_in_pages(storage: tuple[StorageServer, str]) -> None:
    server, url = storage
    server.page_size = 2
    blobs = BucketBlobs(url, BUCKET, no_authorization)
    for number in range(5):
        await blobs.put(f"e1-{number}", b"1")
    assert await blobs.names("e1-") == [f"e1-{number}" for number in range(5)]
    blobs.close()
    await asyncio.sleep(0)  # in which its connections are gone
