"""Blobs (bodies and documents that are too large for a bus message) as objects of an S3 bucket.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import unescape

from shared.cloud import object_names, retries
from shared.cloud.aws.client import AwsClient, AwsPlace
from shared.errors import Temporary
from shared.outgoing.http_client import Answer

CALL_SECONDS: Final = 10.0
MAX_BLOB_BYTES: Final = 100_000_000
"""The largest blob that is read. A body has at most 10 MiB, but as JSON beside its parsed form it is several times
larger."""
RETRIED_CODES: Final = frozenset({"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown"})
EXISTS_ALREADY: Final = 412
"""The status of a write with `If-None-Match` to an object that exists."""
CAUSES: Final[Mapping[str, str]] = {
    "AccessDenied": (
        ": the function's role lacks s3:PutObject, s3:GetObject or s3:DeleteObject on its objects, or "
        "s3:ListBucket on the bucket, without which S3 answers so for an object that is not there"
    ),
    "NoSuchBucket": ": the bucket does not exist; a deployment creates it",
}

_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_KEY: Final = re.compile(rb"<Key>([^<]*)</Key>")
_NEXT: Final = re.compile(rb"<NextContinuationToken>([^<]+)</NextContinuationToken>")


class S3Blobs:
    def __init__(self, place: AwsPlace, bucket: str) -> None:
        # A local AWS has no host name for each bucket. S3's wildcard certificate covers no bucket name with a dot.
        has_own_host = place.endpoint is None and "." not in bucket
        self._path = "/" if has_own_host else f"/{bucket}/"
        host = f"{bucket}.s3" if has_own_host else "s3"
        self._client = AwsClient(place, "s3", host=host, max_answer_bytes=MAX_BLOB_BYTES)
        self.url = self._client.endpoint + self._path

    async def put(self, name: str, content: bytes) -> None:
        answer = await self._call("PUT", name, content)
        if answer.status != 200:
            raise _temporary(answer, "take", name)

    async def create(self, name: str, content: bytes) -> None:
        """Write the blob unless it exists. A policy may allow no other write than this (`s3:if-none-match`)."""
        answer = await self._call("PUT", name, content, {"If-None-Match": "*"})
        if answer.status not in (200, EXISTS_ALREADY):
            raise _temporary(answer, "take", name)

    async def get(self, name: str) -> bytes | None:
        answer = await self._call("GET", name)
        if _is_gone(answer):
            return None
        if answer.status != 200:
            raise _temporary(answer, "give", name)
        return answer.body

    async def delete(self, name: str) -> None:
        answer = await self._call("DELETE", name)
        if answer.status not in (200, 204) and not _is_gone(answer):
            raise _temporary(answer, "delete", name)

    async def names(self, beginning: str) -> list[str]:
        """Return the names of the blobs that begin so. It needs s3:ListBucket.

        A name that is not plain is stored as its hash (see object_names.py), so it is not found.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
        """
        names: list[str] = []
        token = ""
        while True:
            # The parameters are in the order of their names, in which a signature of AWS covers them.
            query = f"list-type=2&prefix={quote(beginning, safe='')}"
            if token:
                query = f"continuation-token={quote(token, safe='')}&{query}"
            answer = await self._request("GET", f"{self._path}?{query}")
            if answer.status != 200:
                raise _temporary(answer, "list", beginning)
            names += [unescape(key.decode()) for key in _KEY.findall(answer.body)]
            next_token = _NEXT.search(answer.body)
            if next_token is None:
                return names
            token = unescape(next_token[1].decode())

    def close(self) -> None:
        self._client.close()

    async def _call(
        self, method: str, name: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
    ) -> Answer:
        return await self._request(method, self._path + quote(object_names.object_name(name), safe="/~"), body, headers)

    async def _request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
    ) -> Answer:
        sent = {"Content-Type": "application/octet-stream", **headers} if body else headers

        async def call_once() -> Answer:
            try:
                return await self._client.call(method, path, sent, body, CALL_SECONDS, may_repeat=True)
            except OSError as error:
                raise Temporary("blobs_unavailable", f"S3 did not answer: {type(error).__name__}") from error

        return await retries.with_retries(call_once, _may_succeed_later)


def _may_succeed_later(answer: Answer) -> bool:
    return answer.status in {408, 429} or answer.status >= 500 or _code(answer) in RETRIED_CODES


def _is_gone(answer: Answer) -> bool:
    """Return whether the object does not exist. The code shows that S3 says so: a proxy may also answer 404."""
    return answer.status == 404 and _code(answer) == "NoSuchKey"


def _code(answer: Answer) -> str:
    """Return the error that S3 names in its XML; empty if none."""
    found = _CODE.search(answer.body[:2_000]) if answer.status >= 300 else None
    return found[1].decode() if found else ""


def _temporary(answer: Answer, verb: str, name: str) -> Temporary:
    code = _code(answer)
    answered = f"{answer.status} {code}".strip()
    detail = f"S3 answered {answered} when it was to {verb} the blob {name!r}{CAUSES.get(code, '')}"
    return Temporary("blobs_unavailable", detail)
