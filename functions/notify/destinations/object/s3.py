"""The requests and responses of Amazon S3, and of services with the same interface.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from functions.notify import http_kind
from functions.notify.destinations.object.content import Content
from functions.notify.destinations.object.settings import Settings
from shared.delivery import Outcome, RetryLater
from shared.outgoing.auth import AwsRequestAuth

METADATA_PREFIX: Final = "x-amz-meta-"
"""The beginning of the name of a header with metadata of the object, in requests and in responses."""
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_TEMPORARY: Final = (
    "BadDigest",
    "Expired",
    "IncompleteBody",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "SlowDown",
    "Throttl",  # of S3, or of the key that encrypts the bucket (KMS)
    "TokenRefreshRequired",
)
"""A code with one of these words is of an error that passes by itself."""
_OF_THE_BUCKET: Final = (
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraint",
    "InvalidBucketName",
    "InvalidToken",
    "KMS",
    "NoSuchBucket",
)
"""A code with one of these words is of an error that every object gets until the operator acts, mostly with a 400."""


def upload_request(
    settings: Settings, key: str, content: Content, metadata: Mapping[str, str]
) -> http_kind.OutgoingRequest:
    """Return the request that creates the object. `If-None-Match: *` is the condition that no object has the key."""
    # A bucket that locks its objects does not accept an object without a digest of the content.
    digest = b64encode(hashlib.md5(content.body, usedforsecurity=False).digest()).decode()
    metadata_headers = ((f"{METADATA_PREFIX}{name}", ascii_text(value)) for name, value in metadata.items())
    return http_kind.OutgoingRequest(
        method="PUT",
        url=_object_url(settings, key),
        headers=(
            ("content-type", content.content_type),
            ("content-md5", digest),
            ("if-none-match", "*"),
            *metadata_headers,
        ),
        body=content.body,
        auth=(_auth(settings),),
        allow_private=settings.allow_private,
    )


def metadata_request(settings: Settings, key: str) -> http_kind.OutgoingRequest:
    """Return the request for the metadata of the object with this key, which the response has as headers."""
    return http_kind.OutgoingRequest(
        method="HEAD",
        url=_object_url(settings, key),
        auth=(_auth(settings),),
        allow_private=settings.allow_private,
    )


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome of an upload that S3 rejected, by the status and the code in the XML of the response."""
    status = response.status
    code_element = _CODE.search(response.body)
    code = code_element[1].decode() if code_element else ""
    if any(word in code for word in _TEMPORARY):
        return RetryLater(f"S3 answered {status} {code}", response.retry_after_seconds, response.excerpt)
    if status == 501:
        advice = "it does not create objects conditionally (If-None-Match): use another"
        return http_kind.held(response, "the endpoint", advice)
    if status in {301, 401, 403, 404} or any(word in code for word in _OF_THE_BUCKET):
        advice = "correct the bucket, its region or its key, or let the role create objects there (s3:PutObject)"
        return http_kind.held(response, "S3", f"{code}: {advice}" if code else advice)
    return http_kind.outcome_by_status(response, "S3", failed={400, 413})


def ascii_text(value: str) -> str:
    """Return a value of the metadata as S3 stores it: with all but printable ASCII percent-encoded."""
    return quote(http_kind.utf8(value), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")


def _object_url(settings: Settings, key: str) -> str:
    """Return the URL of the object with this key.

    A bucket is usually part of the host. With a dot in its name, it is in the path instead, because the certificate of
    `*.s3.REGION.amazonaws.com` is not valid for further dots.
    """
    bucket = settings.bucket_name
    path = quote(http_kind.utf8(key), safe="/~")
    if settings.endpoint is not None:
        return f"{settings.endpoint}/{bucket}/{path}"
    region = _region(settings)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:
        return f"https://s3.{region}.{domain}/{bucket}/{path}"
    return f"https://{bucket}.s3.{region}.{domain}/{path}"


def _auth(settings: Settings) -> AwsRequestAuth:
    return AwsRequestAuth(
        scheme="aws",
        service="s3",
        region=_region(settings),
        access_key_id=settings.access_key_id,
        secret=settings.secret,
    )


def _region(settings: Settings) -> str:
    assert settings.region is not None  # `Settings` requires it for s3://
    return settings.region
