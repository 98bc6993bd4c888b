"""The destination `object`: an object in a bucket, which is created once. No attempt replaces an object that exists.

The metadata of each object contains the id of the delivery that created it. So if an object with the key exists, its
metadata shows whether an earlier attempt of this delivery created it, whose response was lost, or another delivery did.

An attempt sends one request or two (http_kind.py):

    request           creates the object if no object has the key
    outcome           the outcome of this first request, if no second request is needed
    check_after       the second request, which reads the metadata of the object that has the key
    outcome_of_check  the outcome of the second request

The modules s3.py and cloud_storage.py make the requests for each service, and say what its errors mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from functions.notify import destination, google_calls, http_kind
from functions.notify.destinations.object import cloud_storage, s3
from functions.notify.destinations.object.content import content_of
from functions.notify.destinations.object.settings import Settings, key_of
from shared import errors
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater

DEDUPES_REPEATS: Final = True
"""The object of a repeat exists already, and its metadata shows which delivery created it."""
DELIVERY: Final = "hookchain-delivery"
"""The name of the metadata that contains the delivery's id."""
HOPS: Final = "hookchain-hops"
"""The name of the metadata by which a source of Cloud Storage's notifications ends a loop."""
MAX_METADATA_BYTES: Final = 1_800
"""The size of the metadata in the settings. S3 accepts 2 KB, with the names and with our own two entries."""
EXISTS: Final = "the object was there already: an earlier attempt made it"
_CONDITION_FAILED: Final = "conditionNotMet"
"""The reason of Cloud Storage for a 412 if the object exists."""
_NO_DELETE: Final = b"storage.objects.delete"
"""The permission to replace an object. Cloud Storage names it in a 403 only if the object exists."""


@dataclass(slots=True)
class ObjectRequest(http_kind.OutgoingRequest):
    """The request that creates an object.

    delivery_id       the id in the object's metadata if this delivery created it
    metadata_request  reads the metadata of the object that has the key. None if the delivery's id is in the key, so
                      that no other delivery can have created that object
    """

    delivery_id: str = ""
    metadata_request: http_kind.OutgoingRequest | None = None


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> ObjectRequest:
    """Return the request that creates the object, unless an object has its key. Raises Permanent."""
    key = key_of(settings.key_text, delivery)
    service = s3 if settings.is_s3 else cloud_storage
    upload = service.upload_request(settings, key, content_of(delivery.event, settings), _metadata(delivery, settings))
    # A key that contains the id may still have it from the event's data, which other deliveries share. A template that
    # contains `{{ delivery_id }}` may have it in a comment. So both are required.
    has_own_key = settings.has_key_per_delivery and delivery.id in key
    return ObjectRequest(
        method=upload.method,
        url=upload.url,
        headers=upload.headers,
        body=upload.body,
        auth=upload.auth,
        allow_private=upload.allow_private,
        delivery_id=delivery.id,
        metadata_request=None if has_own_key else service.metadata_request(settings, key),
    )


def preview(delivery: Delivery, settings: Settings) -> Iterator[str]:
    """Yield the object that the delivery would create: its place, its metadata and its text. Raises Permanent."""
    content = content_of(delivery.event, settings)
    yield f"object: create {settings.bucket}/{key_of(settings.key_text, delivery)}"
    size = f"{len(content.body):,} bytes" + (", compressed" if settings.gzip else "")
    yield f"content type: {content.content_type} ({size})"
    yield from (f"{name}: {value}" for name, value in _metadata(delivery, settings).items())
    yield ""
    yield from content.plain.decode("utf-8", "replace").splitlines()


def check_after(response: http_kind.Response, request: ObjectRequest) -> http_kind.OutgoingRequest | None:
    """Return the request for the metadata of the object that has the key.

    Return None if no object has the key, or if only this delivery can have created that object.
    """
    return request.metadata_request if _key_is_taken(response) else None


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome of the upload, after which `check_after` returned None.

    So if the key is taken, an earlier attempt of this delivery created the object.
    """
    if _key_is_taken(response):
        return Delivered(EXISTS)
    is_xml = response.body.lstrip().startswith(b"<")  # only S3 describes its errors in XML
    return s3.outcome(response) if is_xml else cloud_storage.outcome(response)


def outcome_of_check(response: http_kind.Response, request: ObjectRequest) -> Outcome:
    """Return the outcome by the metadata of the object that has the key: delivered if this delivery created it."""
    status = response.status
    if status == 404:
        return RetryLater("the object that had the key is gone")
    if status in {401, 403}:
        rule = "an object has the key, and who wrote it cannot be read: let the account read objects there"
        return http_kind.held(response, "the bucket's service", f"{rule}, or put {{{{ delivery_id }}}} into `key`")
    if status != 200:
        return http_kind.outcome_by_status(response, "the bucket's service")
    s3_value = response.header(f"{s3.METADATA_PREFIX}{DELIVERY}")
    google_value = response.member("metadata", DELIVERY)
    if request.delivery_id in (s3_value, google_value):
        return Delivered(EXISTS)
    reason = "an object that another delivery wrote has the key: put {{ delivery_id }} into `key`, and replay"
    return Failed("request_rejected", reason)


def _key_is_taken(response: http_kind.Response) -> bool:
    """Return whether the service rejected the upload because an object has the key."""
    if response.status == 412:
        # A policy of the organization can also cause a 412 of Cloud Storage. S3 gives no reasons in this form.
        reasons = google_calls.error_reasons(response)
        return not reasons or _CONDITION_FAILED in reasons
    return response.status == 403 and _NO_DELETE in response.body


def _metadata(delivery: Delivery, settings: Settings) -> dict[str, str]:
    """Return the object's metadata. Raises Permanent."""
    view = http_kind.template_view(delivery)
    metadata = {
        name: http_kind.rendered_line(f"metadata.{name}", text, view) for name, text in settings.metadata.items()
    }
    size = sum(len(name) + len(s3.ascii_text(value)) for name, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise errors.Permanent("output_too_large", f"metadata: at most {MAX_METADATA_BYTES} bytes; these are {size}")
    return {**metadata, DELIVERY: delivery.id, HOPS: str(delivery.event.hops + 1)}
