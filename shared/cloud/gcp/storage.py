"""The Blobs port on a Cloud Storage bucket, over its JSON API.

https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from typing import Final
from urllib.parse import quote

from shared.cloud.gcp.tokens import Authorization
from shared.cloud.object_names import object_name
from shared.cloud.retries import is_temporary_answer, with_retries
from shared.errors import Temporary
from shared.jsontext import from_json, objects_at, value_at
from shared.outgoing.http_client import Answer, HttpClient

CALL_SECONDS: Final = 10.0
MAX_BLOB_BYTES: Final = 100_000_000
"""A body has at most 10 MiB. Its blob is JSON, in which the escaped body and its parsed form are several times that."""
_IF_ABSENT: Final = "&ifGenerationMatch=0"
"""The condition that no object of this name exists: its generation would not be 0."""


class BucketBlobs:
    """The port's blobs are the objects of the bucket. All methods raise Temporary (`blobs_unavailable`)."""

    def __init__(self, endpoint: str, bucket: str, authorization: Authorization) -> None:
        self._client = HttpClient(endpoint, MAX_BLOB_BYTES)
        self._bucket = bucket
        self._authorization = authorization

    async def put(self, name: str, content: bytes) -> None:
        answer = await self._upload(name, content)
        if answer.status != 200:
            raise _temporary(answer, "take", name)

    async def create(self, name: str, content: bytes) -> None:
        """Create the blob unless it exists. The role roles/storage.objectCreator, which can only create, is enough."""
        answer = await self._upload(name, content, _IF_ABSENT)
        if answer.status != 200 and not _exists_already(answer):
            raise _temporary(answer, "take", name)

    async def _upload(self, name: str, content: bytes, condition: str = "") -> Answer:
        query = f"uploadType=media&name={quote(object_name(name), safe='')}{condition}"
        return await self._call("POST", f"/upload/storage/v1/b/{self._bucket}/o?{query}", content)

    async def get(self, name: str) -> bytes | None:
        answer = await self._call("GET", f"{self._object(name)}?alt=media")
        if _is_gone(answer):
            return None
        if answer.status != 200:
            raise _temporary(answer, "give", name)
        return answer.body

    async def delete(self, name: str) -> None:
        answer = await self._call("DELETE", self._object(name))
        if answer.status not in (200, 204) and not _is_gone(answer):
            raise _temporary(answer, "delete", name)

    async def names(self, beginning: str) -> list[str]:
        """Return the names of the blobs that begin so. Needs the role roles/storage.objectViewer.

        A blob whose name was hashed is not found: see `object_name`.
        """
        names: list[str] = []
        page_token = ""
        while True:
            prefix, token = quote(beginning, safe=""), quote(page_token, safe="")
            query = f"fields=items(name),nextPageToken&prefix={prefix}&pageToken={token}"
            answer = await self._call("GET", f"/storage/v1/b/{self._bucket}/o?{query}")
            if answer.status != 200:
                raise _temporary(answer, "list", beginning)
            page = from_json(answer.body)
            names += [str(each["name"]) for each in objects_at(page, "items")]
            page_token = str(value_at(page, "nextPageToken") or "")
            if not page_token:
                return names

    def close(self) -> None:
        self._client.close()

    def _object(self, name: str) -> str:
        return f"/storage/v1/b/{self._bucket}/o/{quote(object_name(name), safe='')}"

    async def _call(self, method: str, path: str, body: bytes = b"") -> Answer:
        return await with_retries(lambda: self._call_once(method, path, body), is_temporary_answer)

    async def _call_once(self, method: str, path: str, body: bytes) -> Answer:
        headers = {"Content-Type": "application/octet-stream"} if body else {}
        if authorization := await self._authorization():
            headers["Authorization"] = authorization
        try:
            return await self._client.call(method, path, headers, body, CALL_SECONDS, may_repeat=True)
        except OSError as error:
            raise Temporary("blobs_unavailable", f"Cloud Storage did not answer: {type(error).__name__}") from error


def _is_gone(answer: Answer) -> bool:
    """Return whether Cloud Storage says that the object does not exist.

    The status is not enough: a missing bucket is also a 404, and a proxy can return one for a moment. The text is the
    whole body for a download, and the message in the JSON for other requests.
    https://cloud.google.com/storage/docs/json_api/v1/status-codes#404-not-found
    """
    return answer.status == 404 and b"No such object" in answer.body[:2_000]


def _exists_already(answer: Answer) -> bool:
    """Return whether an upload with _IF_ABSENT was rejected because the object exists.

    Without the right to delete, the rejection is a 403 instead of a 412: Cloud Storage requires the permission
    `storage.objects.delete` only to replace an existing object.
    https://cloud.google.com/storage/docs/access-control/iam-permissions#object_permissions
    """
    return answer.status == 412 or (answer.status == 403 and b"storage.objects.delete" in answer.body)


def _temporary(answer: Answer, verb: str, name: str) -> Temporary:
    why = ": whoever asks lacks a role such as roles/storage.objectUser on the bucket" if answer.status == 403 else ""
    return Temporary(
        "blobs_unavailable", f"Cloud Storage answered {answer.status} when it was to {verb} the blob {name!r}{why}"
    )
