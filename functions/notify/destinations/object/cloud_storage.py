"""The requests and responses of Google Cloud Storage.

https://cloud.google.com/storage/docs/json_api/v1/objects/insert
https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from functions.notify import google_calls, http_kind
from functions.notify.destinations.object.content import Content
from functions.notify.destinations.object.settings import Settings
from shared.delivery import Outcome
from shared.outgoing.auth import GoogleOAuthRequestAuth

GOOGLE: Final = "https://storage.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_OF_THE_BUCKET: Final = ("badRequest", "cloudKms", "userProject")
"""The reason of a 400 begins with one of these if it is about the bucket, its encryption key or its project. Any other
reason is about the object."""


def upload_request(
    settings: Settings, key: str, content: Content, metadata: Mapping[str, str]
) -> http_kind.OutgoingRequest:
    """Return the request that creates the object. Its body has two parts: the metadata as JSON, and the content.

    `ifGenerationMatch=0` is the condition that no object has the key.
    """
    description = http_kind.json_body({"contentType": content.content_type, "metadata": {**metadata}})
    # The digest of a content cannot appear in the content itself.
    boundary = hashlib.sha256(content.body).hexdigest()
    body = (
        _part(boundary, "application/json; charset=UTF-8", description)
        + _part(boundary, content.content_type, content.body)
        + f"--{boundary}--\r\n".encode()
    )
    upload_url = f"{settings.endpoint or GOOGLE}/upload/storage/v1/b/{settings.bucket_name}/o"
    return http_kind.OutgoingRequest(
        method="POST",
        url=f"{upload_url}?uploadType=multipart&ifGenerationMatch=0&name={_quoted(key)}",
        headers=(("content-type", f"multipart/related; boundary={boundary}"),),
        body=body,
        auth=(_auth(settings),),
        allow_private=settings.allow_private,
    )


def metadata_request(settings: Settings, key: str) -> http_kind.OutgoingRequest:
    """Return the request for the metadata of the object with this key, which the response has as JSON."""
    return http_kind.OutgoingRequest(
        method="GET",
        url=f"{settings.endpoint or GOOGLE}/storage/v1/b/{settings.bucket_name}/o/{_quoted(key)}?fields=metadata",
        auth=(_auth(settings),),
        allow_private=settings.allow_private,
    )


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome of a response to an upload, unless the object exists.

    A response of S3 without XML, such as a success, is also decided here.
    """
    reasons = sorted(google_calls.error_reasons(response))
    if response.status == 412:
        rule = f"it takes no object ({', '.join(reasons)}): change the policy, or the bucket's encryption"
        return http_kind.held(response, "the bucket's service", rule)
    bucket_reasons = [reason for reason in reasons if reason.startswith(_OF_THE_BUCKET)]
    if response.status == 400 and bucket_reasons:
        rule = f"it takes no object ({bucket_reasons[0]}): correct the bucket's encryption key, or its project"
        return http_kind.held(response, "the bucket's service", rule)
    advice = "correct the bucket, or let the account create objects there (Storage Object Creator, s3:PutObject)"
    return http_kind.outcome_by_status(response, "the bucket's service", failed={400, 413}, held_advice=advice)


def _part(boundary: str, content_type: str, body: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode() + body + b"\r\n"


def _quoted(key: str) -> str:
    return quote(http_kind.utf8(key), safe="")


def _auth(settings: Settings) -> GoogleOAuthRequestAuth:
    return GoogleOAuthRequestAuth(scheme="google_oauth", scope=SCOPE, secret=settings.secret)
