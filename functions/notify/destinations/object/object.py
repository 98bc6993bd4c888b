"""An object in a bucket, which is created once: no attempt replaces what is there.

https://cloud.google.com/storage/docs/json_api/v1/objects/insert
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html

The delivery's id is in the object's metadata. Where the key is taken, the id says whether this delivery wrote the
object, in an attempt whose answer was lost, or another one.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from functions.notify.destination import Attempt
from functions.notify.destinations.object.answers import EXISTS, is_taken, outcome
from functions.notify.destinations.object.content import Content, content_of
from functions.notify.destinations.object.key import key_of
from functions.notify.destinations.object.settings import Settings
from functions.notify.http_kind import (
    HttpExample,
    OutgoingRequest,
    Response,
    SecretValues,
    held,
    json_body,
    outcome_by_status,
    rendered_line,
    template_view,
)
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.errors import Permanent
from shared.outgoing.auth import AwsRequestAuth, GoogleOAuthRequestAuth

__all__ = ["EXAMPLES", "EXISTS", "Settings", "outcome", "request"]

DEDUPES_REPEATS: Final = True
GOOGLE: Final = "https://storage.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
DELIVERY: Final = "hookchain-delivery"
"""The name of the metadata that holds the delivery's id."""
HOPS: Final = "hookchain-hops"
"""The name of the metadata by which a source of Cloud Storage's notifications ends a loop."""
MAX_METADATA_BYTES: Final = 1_800
"""S3 takes 2 KB, with the names."""
S3_METADATA: Final = "x-amz-meta-"


@dataclass(slots=True)
class ObjectRequest(OutgoingRequest):
    """The request that creates an object. `address` is the object's URL, by which its metadata is read."""

    address: str = ""
    delivery_id: str = ""
    is_own_key: bool = False


_BOUNDARY: Final = hashlib.sha256(b'{"number":1042,"total":99.5}').hexdigest()
_ID: Final = "594d430c6dd657af4aac9d6fcadffc5d392f0da801319d9385ad04daf831dd77"
EXAMPLES: Final = (
    HttpExample(
        settings={
            "bucket": "gs://example-orders",
            "key": "{{ source }}/{{ receivedat[:10] }}/{{ data.number }}.json",
            "value": "data",
        },
        data={"number": 1042, "total": 99.5},
        url=f"{GOOGLE}/upload/storage/v1/b/example-orders/o?uploadType=multipart&ifGenerationMatch=0"
        "&name=shop%2F2026-03-01%2F1042.json",
        headers={"content-type": f"multipart/related; boundary={_BOUNDARY}"},
        body=f"--{_BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        f'{{"contentType":"application/json","metadata":{{"hookchain-delivery":"{_ID}","hookchain-hops":"1"}}}}\r\n'
        f"--{_BOUNDARY}\r\nContent-Type: application/json\r\n\r\n"
        f'{{"number":1042,"total":99.5}}\r\n--{_BOUNDARY}--\r\n',
    ),
    HttpExample(
        settings={
            "bucket": "s3://example-orders",
            "region": "eu-central-1",
            "key": "orders/{{ delivery_id }}.csv",
            "format": "csv",
            "value": "data.lines",
            "columns": {"article": "sku", "count": "count"},
        },
        data={"lines": [{"sku": "=A1", "count": 2}, {"sku": "B-7", "count": 1}]},
        method="PUT",
        url=f"https://example-orders.s3.eu-central-1.amazonaws.com/orders/{_ID}.csv",
        headers={"if-none-match": "*", "content-type": "text/csv; charset=utf-8", "x-amz-meta-hookchain-delivery": _ID},
        body="article,count\r\n'=A1,2\r\nB-7,1\r\n",
    ),
)


def request(delivery: Delivery, settings: Settings, secrets: SecretValues, attempt: Attempt) -> ObjectRequest:  # noqa: ARG001 the interface
    """Raises Permanent."""
    key, content = key_of(settings.key_text, delivery), content_of(delivery.event, settings)
    metadata = _metadata(delivery, settings)
    return (_s3_request if settings.is_s3 else _google_request)(delivery, settings, key, content, metadata)


def preview(delivery: Delivery, settings: Settings) -> Iterator[str]:
    """Yield the object that the delivery would create: its place, its metadata and its text. Raises Permanent."""
    content = content_of(delivery.event, settings)
    yield f"object: create {settings.bucket}/{key_of(settings.key_text, delivery)}"
    size = f"{len(content.body):,} bytes" + (", compressed" if settings.gzip else "")
    yield f"content type: {content.content_type} ({size})"
    yield from (f"{name}: {value}" for name, value in _metadata(delivery, settings).items())
    yield ""
    yield from content.plain.decode("utf-8", "replace").splitlines()


def check_after(response: Response, request: ObjectRequest) -> OutgoingRequest | None:
    """Return the request of the metadata of the object that has the key, which may be another delivery's."""
    if not is_taken(response) or request.is_own_key:
        return None
    method = "HEAD" if request.method == "PUT" else "GET"
    return OutgoingRequest(method, request.address, auth=request.auth, allow_private=request.allow_private)


def outcome_of_check(response: Response, request: ObjectRequest) -> Outcome:
    status = response.status
    if status == 404:
        return RetryLater("the object that had the key is gone")
    if status in {401, 403}:
        rule = "an object has the key, and who wrote it cannot be read: let the account read objects there"
        return held(response, "the bucket's service", f"{rule}, or put {{{{ delivery_id }}}} into `key`")
    if status != 200:
        return outcome_by_status(response, "the bucket's service")
    if _delivery_in(response) == request.delivery_id:
        return Delivered(EXISTS)
    reason = "an object that another delivery wrote has the key: put {{ delivery_id }} into `key`, and replay"
    return Failed("request_rejected", reason)


def _google_request(
    delivery: Delivery, settings: Settings, key: str, content: Content, metadata: dict[str, str]
) -> ObjectRequest:
    bucket = f"{settings.endpoint or GOOGLE}/storage/v1/b/{settings.bucket_name}/o"
    upload = bucket.replace("/storage/v1/", "/upload/storage/v1/", 1)
    boundary = hashlib.sha256(content.body).hexdigest()  # no content has its own digest in it
    described = json_body({"contentType": content.content_type, "metadata": {**metadata}})
    parts = (("application/json; charset=UTF-8", described), (content.content_type, content.body))
    body = b"".join(b"--%b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (boundary.encode(), a.encode(), b) for a, b in parts)
    quoted = quote(key.encode("utf-8", "replace"), safe="")
    return ObjectRequest(
        "POST",
        f"{upload}?uploadType=multipart&ifGenerationMatch=0&name={quoted}",
        (("content-type", f"multipart/related; boundary={boundary}"),),
        body + b"--%b--\r\n" % boundary.encode(),
        (GoogleOAuthRequestAuth(scheme="google_oauth", scope=SCOPE, secret=settings.secret),),
        settings.allow_private,
        address=f"{bucket}/{quoted}?fields=metadata",
        delivery_id=delivery.id,
        is_own_key=settings.has_own_keys and delivery.id in key,
    )


def _s3_request(
    delivery: Delivery, settings: Settings, key: str, content: Content, metadata: dict[str, str]
) -> ObjectRequest:
    assert settings.region is not None
    url = f"{_s3_bucket(settings, settings.region)}/{quote(key.encode('utf-8', 'replace'), safe='/~')}"
    named = ((f"{S3_METADATA}{name}", _ascii(value)) for name, value in metadata.items())
    # A bucket that locks its objects takes none without it.
    digest = b64encode(hashlib.md5(content.body, usedforsecurity=False).digest()).decode()
    auth = AwsRequestAuth(
        scheme="aws",
        service="s3",
        region=settings.region,
        access_key_id=settings.access_key_id,
        secret=settings.secret,
    )
    return ObjectRequest(
        "PUT",
        url,
        (("content-type", content.content_type), ("content-md5", digest), ("if-none-match", "*"), *named),
        content.body,
        (auth,),
        settings.allow_private,
        address=url,
        delivery_id=delivery.id,
        is_own_key=settings.has_own_keys and delivery.id in key,
    )


def _s3_bucket(settings: Settings, region: str) -> str:
    """Return the bucket's URL. A certificate is for no host whose first part has a dot."""
    name = settings.bucket_name
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if settings.endpoint is not None:
        return f"{settings.endpoint}/{name}"
    return f"https://s3.{region}.{domain}/{name}" if "." in name else f"https://{name}.s3.{region}.{domain}"


def _metadata(delivery: Delivery, settings: Settings) -> dict[str, str]:
    """Return the object's metadata. Raises Permanent."""
    view = template_view(delivery)
    found = {name: rendered_line(f"metadata.{name}", text, view) for name, text in settings.metadata.items()}
    size = sum(len(name) + len(_ascii(value)) for name, value in found.items())
    if size > MAX_METADATA_BYTES:
        raise Permanent("output_too_large", f"metadata: at most {MAX_METADATA_BYTES} bytes; these are {size}")
    return {**found, DELIVERY: delivery.id, HOPS: str(delivery.event.hops + 1)}


def _ascii(value: str) -> str:
    """Return the text as S3 keeps it: with all but printable ASCII percent-encoded."""
    return quote(value.encode("utf-8", "replace"), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")


def _delivery_in(response: Response) -> str | None:
    """Return the id of the delivery that wrote the object, as its metadata has it."""
    if (named := response.header(f"{S3_METADATA}{DELIVERY}")) is not None:
        return named
    described = response.json()
    metadata = described.get("metadata") if isinstance(described, dict) else None
    value = metadata.get(DELIVERY) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else None
