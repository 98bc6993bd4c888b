"""The destination `object`: an object in a bucket, which is created once. No attempt replaces an object that exists.

The delivery's id is in the object's metadata. If an object with the key exists, this id shows whether an earlier
attempt of this delivery wrote it, whose response was lost, or another delivery did. The same event always makes the
same bytes.

An attempt takes one request or two (http_kind.py):

    request           creates the object if no object has the key
    check_after       the key is taken, and another delivery may have taken it: read the metadata of the object
    outcome_of_check  the outcome by that metadata
    outcome           the outcome in any other case. If the key is taken then, it has the delivery's id in it, so an
                      earlier attempt of this delivery made the object, and the delivery is done

https://cloud.google.com/storage/docs/json_api/v1/objects/insert
https://cloud.google.com/storage/docs/json_api/v1/status-codes
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import gzip
import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from functions.notify import bounded_texts, destination, google_calls, http_kind, kind_settings
from shared import errors, expressions, jsontext
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater
from shared.event import UNFIT, Event, view_of
from shared.formats.text_body import bytes_in
from shared.outgoing.auth import AwsRequestAuth, GoogleOAuthRequestAuth
from shared.templating.template import KNOWN, Template
from shared.writers import text_writers, writing

Format = Literal["json", "ndjson", "csv", "raw"]
CONTENT_TYPES: Final[dict[Format, str]] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "raw": "application/octet-stream",
}
EXTENSIONS: Final[dict[Format, str]] = {"json": ".json", "ndjson": ".ndjson", "csv": ".csv", "raw": ""}
MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(; ?[a-z-]{1,20}=[\w.\"-]{1,70})*", re.ASCII
)
"""Only ASCII: a sender may write it, and any other character in a header would make the signature for S3 invalid."""
GZIP_TYPE: Final = "application/gzip"
DEDUPES_REPEATS: Final = True
"""The object of a repeat exists already, and its metadata shows whose it is."""

# The key of an object.
_FOLDER: Final = "{{ source }}/{{ receivedat[:10] }}/{{ delivery_id }}"
"""The default template, which the extension of the format follows."""
_LITERAL: Final = re.compile(r"[^{]*")
"""The beginning of a template before its first expression or tag."""
_ID_IN_KEY: Final = re.compile(r"\{\{-?\s*delivery_id\s*-?\}\}")
MAX_KEY_BYTES: Final = 1_024
"""The longest key, in Cloud Storage and in S3."""
DELIVERY_ID: Final = "delivery_id"
_RESERVED: Final = ".well-known/acme-challenge/"
"""Cloud Storage keeps these names for itself."""

# What the services take.
GOOGLE: Final = "https://storage.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
DELIVERY: Final = "hookchain-delivery"
"""The name of the metadata that holds the delivery's id."""
HOPS: Final = "hookchain-hops"
"""The name of the metadata by which a source of Cloud Storage's notifications ends a loop."""
MAX_METADATA_BYTES: Final = 1_800
"""The size of the metadata. S3 accepts 2 KB, with the names."""
S3_METADATA: Final = "x-amz-meta-"

# What the services answer.
EXISTS: Final = "the object was there already: an earlier attempt made it"
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_PASSING: Final = re.compile(
    r"Expired|IncompleteBody|RequestTimeout|RequestTimeTooSkewed|SlowDown|Throttl|TokenRefreshRequired|BadDigest"
)
"""The names of S3's errors that pass by themselves contain one of these words. What is throttled may also be the
bucket's encryption key (KMS)."""
_OF_THE_BUCKET: Final = re.compile(
    r"KMS|AuthorizationHeaderMalformed|IllegalLocationConstraint|InvalidToken|InvalidBucketName|NoSuchBucket"
)
"""The names of S3's errors with the status 400 that every object gets until the operator acts contain one of these."""
_NO_DELETE: Final = b"storage.objects.delete"
"""Cloud Storage requires this permission to replace an object. If it is missing, the object exists."""
_TAKEN: Final = "conditionNotMet"
"""The reason of Cloud Storage for a 412 if the object exists."""
_GOOGLE_HELD: Final = re.compile(r"cloudKms|userProject|badRequest")
"""The reasons of Cloud Storage for a 400 about the bucket, its key or its project contain one of these words. Other
reasons are about the object."""
_ACT: Final = "correct the bucket, or let the account create objects there (Storage Object Creator, s3:PutObject)"

MetadataName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


@lru_cache(maxsize=1_000)
def key_template(text: str) -> Template:
    """Return the template, in which `delivery_id` can be used too. Raises TemplateFault."""
    return Template("key", " ".join(text.split()), known=KNOWN | {DELIVERY_ID})


def _media_type(text: str) -> str:
    if not MEDIA_TYPE.fullmatch(text):
        raise ValueError("must be a content type, such as text/csv; charset=utf-8")
    return text


class Settings(kind_settings.KindSettings):
    """An object in a bucket of Cloud Storage, of Amazon S3, or of a service that speaks S3.

    bucket         gs://NAME of Cloud Storage, or s3://NAME
    key            a template for the object's name. With `{{ delivery_id }}` in it, no two deliveries have the same
    format         `json`, `ndjson` (a line for each item of a list), `csv` (a row for each), or `raw`: text and bytes
                   as they were sent
    value          a JMESPath expression for what is written; default: the event as a CloudEvent, for `raw` its data
    columns        csv: for each column an expression over the items of `value`; without `value`, over the event
    gzip           compress the object
    content_type   default: that of the format; of a compressed object application/gzip
    metadata       further metadata of the object, by name; templates
    region         s3: the bucket's region
    endpoint       the URL of another service with the same interface
    access_key_id  s3: the id of an access key, whose other part is `secret`; without, this function's role signs
    secret         gs: a service account's key (JSON); without, this deployment's own account writes. s3: see above
    allow_private  allow an `endpoint` at a private address, and plain http
    """

    extras_with_secret: ClassVar[tuple[str, ...]] = ("crypto",)  # a service account's key signs by RSA

    bucket: Annotated[
        str,
        Field(pattern=r"^(gs|s3)://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", examples=["s3://my-bucket", "gs://my-bucket"]),
    ]
    key: Annotated[str, kind_settings.checked_by(key_template)] | None = None
    format: Format = "json"
    value: kind_settings.EventExpression | None = None
    columns: dict[str, str] = Field(default_factory=dict, max_length=100)
    gzip: bool = False
    content_type: Annotated[str, AfterValidator(_media_type)] | None = None
    metadata: dict[MetadataName, kind_settings.LineTemplate] = Field(default_factory=dict, max_length=10)
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$", examples=["eu-central-1"])] | None = None
    endpoint: kind_settings.ServerAddress | None = None
    access_key_id: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")] | None = None
    secret: SecretName | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        if bool(self.columns) != (self.format == "csv"):
            raise ValueError("`columns` and `format: csv` go together")
        for name, text in self.columns.items():
            if not name or not name.isprintable() or len(name) > 128:
                raise ValueError(f"columns: a name has 1 to 128 printable characters; got {name!r}")
            expressions.Expression(text) if self.value else expressions.over_event(text)
        return self

    @model_validator(mode="after")
    def _place_is_complete(self) -> Self:
        if self.is_s3:
            if self.region is None:
                raise ValueError("`region` is missing: the region of the bucket, such as eu-central-1")
            if (self.access_key_id is None) != (self.secret is None):
                raise ValueError(
                    "`access_key_id` and `secret` belong together; without both, the function's role signs"
                )
        elif self.region or self.access_key_id:
            raise ValueError("`region` and `access_key_id` are of buckets that begin with s3://")
        return self

    @property
    def is_s3(self) -> bool:
        return self.bucket.startswith("s3:")

    @property
    def bucket_name(self) -> str:
        return self.bucket[len("gs://") :]  # `s3://` is as long

    @property
    def key_text(self) -> str:
        """Return the template of the key."""
        return self.key or f"{_FOLDER}{EXTENSIONS[self.format]}{'.gz' if self.gzip else ''}"

    @property
    def prefix(self) -> str:
        """Return what every key begins with."""
        literal = _LITERAL.match(self.key_text)
        return literal[0] if literal else ""

    @property
    def has_key_per_delivery(self) -> bool:
        """Return whether the delivery's id is in every key, so that an object that exists need not be read.

        A template with tags such as `{% if %}` may leave the id out for some events.
        """
        return "{%" not in self.key_text and bool(_ID_IN_KEY.search(self.key_text))


@dataclass(slots=True)
class ObjectRequest(http_kind.OutgoingRequest):
    """The request that creates an object, with what `check_after` needs if an object has the key.

    check_method   HEAD for S3, which answers with the metadata as headers; GET for Cloud Storage, which has it as JSON
    check_url      the URL by which the metadata of that object is read
    delivery_id    the id in the metadata if this delivery made that object
    has_id_in_key  the key has the delivery's id, so that no other delivery can have made that object
    """

    check_method: str = ""
    check_url: str = ""
    delivery_id: str = ""
    has_id_in_key: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """The content of an object. `plain` is the content before its compression, for people to read."""

    body: bytes
    content_type: str
    plain: bytes


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> ObjectRequest:
    """Return the request that creates the object, unless an object has its key. Raises Permanent."""
    key = key_of(settings.key_text, delivery)
    content = content_of(delivery.event, settings)
    metadata = _metadata(delivery, settings)
    make_request = _s3_request if settings.is_s3 else _google_request
    upload = make_request(settings, key, content, metadata)
    # Both are checked, because the event's data may hold the id, too, and `{{ delivery_id }}` may be in a comment.
    has_id_in_key = settings.has_key_per_delivery and delivery.id in key
    return replace(upload, allow_private=settings.allow_private, delivery_id=delivery.id, has_id_in_key=has_id_in_key)


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
    """Return the request for the metadata of the object that has the key, if another delivery may have made it.

    Return None if no object has the key, or only this delivery can have made it.
    """
    if not is_taken(response) or request.has_id_in_key:
        return None
    return http_kind.OutgoingRequest(
        request.check_method, request.check_url, auth=request.auth, allow_private=request.allow_private
    )


def outcome_of_check(response: http_kind.Response, request: ObjectRequest) -> Outcome:
    """Return the outcome by the metadata of the object that has the key: delivered if this delivery wrote it."""
    status = response.status
    if status == 404:
        return RetryLater("the object that had the key is gone")
    if status in {401, 403}:
        rule = "an object has the key, and who wrote it cannot be read: let the account read objects there"
        return http_kind.held(response, "the bucket's service", f"{rule}, or put {{{{ delivery_id }}}} into `key`")
    if status != 200:
        return http_kind.outcome_by_status(response, "the bucket's service")
    if _delivery_in(response) == request.delivery_id:
        return Delivered(EXISTS)
    reason = "an object that another delivery wrote has the key: put {{ delivery_id }} into `key`, and replay"
    return Failed("request_rejected", reason)


def is_taken(response: http_kind.Response) -> bool:
    """Return whether the answer says that an object has the key. An organization's policy can also cause a 412."""
    if response.status == 412:
        reasons = google_calls.error_reasons(response)
        return not reasons or _TAKEN in reasons
    return response.status == 403 and _NO_DELETE in response.body


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome where no metadata was read. A key that is taken has the delivery's id: see `check_after`."""
    if response.body.lstrip().startswith(b"<"):  # S3 answers with XML
        return _s3_outcome(response)
    if is_taken(response):
        return Delivered(EXISTS)
    reasons = google_calls.error_reasons(response)
    if response.status == 412:
        rule = f"it takes no object ({', '.join(sorted(reasons))}): change the policy, or the bucket's encryption"
        return http_kind.held(response, "the bucket's service", rule)
    if response.status == 400 and (reason := next(filter(_GOOGLE_HELD.match, sorted(reasons)), None)):
        rule = f"it takes no object ({reason}): correct the bucket's encryption key, or its project"
        return http_kind.held(response, "the bucket's service", rule)
    return http_kind.outcome_by_status(response, "the bucket's service", failed={400, 413}, held_advice=_ACT)


def _s3_outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome of a response in S3's XML, by its status and the code in it."""
    status = response.status
    code_element = _CODE.search(response.body)
    code = code_element[1].decode() if code_element else ""
    if status == 412:
        return Delivered(EXISTS)
    if _PASSING.search(code):
        return RetryLater(f"S3 answered {status} {code}", response.retry_after_seconds, response.excerpt)
    if status == 501:
        return http_kind.held(
            response, "the endpoint", "it does not create objects conditionally (If-None-Match): use another"
        )
    if status in {301, 401, 403, 404} or _OF_THE_BUCKET.search(code):
        advice = (
            f"{code}: correct the bucket, its region or its key, or let the role create objects there (s3:PutObject)"
        )
        return http_kind.held(response, "S3", advice.removeprefix(": "))
    return http_kind.outcome_by_status(response, "S3", failed={400, 413})


def _delivery_in(response: http_kind.Response) -> str | None:
    """Return the id of the delivery that wrote the object, as its metadata has it."""
    if (header_value := response.header(f"{S3_METADATA}{DELIVERY}")) is not None:
        return header_value
    value = response.member("metadata", DELIVERY)
    return value if isinstance(value, str) else None


def _google_request(settings: Settings, key: str, content: Content, metadata: dict[str, str]) -> ObjectRequest:
    """Return the upload to Cloud Storage. Its body has two parts: the description with the metadata, and the content.

    `ifGenerationMatch=0` is the condition that no object has the key.
    """
    bucket = f"{settings.endpoint or GOOGLE}/storage/v1/b/{settings.bucket_name}/o"
    upload = bucket.replace("/storage/v1/", "/upload/storage/v1/", 1)
    # The digest of a content cannot appear in the content itself.
    boundary = hashlib.sha256(content.body).hexdigest()
    described = http_kind.json_body({"contentType": content.content_type, "metadata": {**metadata}})
    body_parts = (("application/json; charset=UTF-8", described), (content.content_type, content.body))
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (boundary.encode(), part_type.encode(), part)
        for part_type, part in body_parts
    )
    quoted_key = quote(http_kind.utf8(key), safe="")
    return ObjectRequest(
        method="POST",
        url=f"{upload}?uploadType=multipart&ifGenerationMatch=0&name={quoted_key}",
        headers=(("content-type", f"multipart/related; boundary={boundary}"),),
        body=body + b"--%b--\r\n" % boundary.encode(),
        auth=(GoogleOAuthRequestAuth(scheme="google_oauth", scope=SCOPE, secret=settings.secret),),
        check_method="GET",
        check_url=f"{bucket}/{quoted_key}?fields=metadata",
    )


def _s3_request(settings: Settings, key: str, content: Content, metadata: dict[str, str]) -> ObjectRequest:
    """Return the upload to S3. `If-None-Match: *` is the condition that no object has the key."""
    assert settings.region is not None
    url = f"{_s3_bucket(settings, settings.region)}/{quote(http_kind.utf8(key), safe='/~')}"
    metadata_headers = ((f"{S3_METADATA}{name}", _ascii(value)) for name, value in metadata.items())
    # A bucket that locks its objects takes none without a digest of the content.
    digest = b64encode(hashlib.md5(content.body, usedforsecurity=False).digest()).decode()
    keys = {"access_key_id": settings.access_key_id, "secret": settings.secret}
    auth = AwsRequestAuth(scheme="aws", service="s3", region=settings.region, **keys)
    fixed_headers = (("content-type", content.content_type), ("content-md5", digest), ("if-none-match", "*"))
    return ObjectRequest(
        method="PUT",
        url=url,
        headers=(*fixed_headers, *metadata_headers),
        body=content.body,
        auth=(auth,),
        check_method="HEAD",
        check_url=url,
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
    view = http_kind.template_view(delivery)
    further_metadata = {
        name: http_kind.rendered_line(f"metadata.{name}", text, view) for name, text in settings.metadata.items()
    }
    size = sum(len(name) + len(_ascii(value)) for name, value in further_metadata.items())
    if size > MAX_METADATA_BYTES:
        raise errors.Permanent("output_too_large", f"metadata: at most {MAX_METADATA_BYTES} bytes; these are {size}")
    return {**further_metadata, DELIVERY: delivery.id, HOPS: str(delivery.event.hops + 1)}


def _ascii(value: str) -> str:
    """Return the text as S3 keeps it: with all but printable ASCII percent-encoded."""
    return quote(http_kind.utf8(value), safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")


def key_of(template: str, delivery: Delivery) -> str:
    """Return the key of the delivery: in each attempt the same.

    Raises Permanent for a name that a program could take for another path, and if the template cannot be filled.
    """
    key = key_template(template).render({**http_kind.template_view(delivery), DELIVERY_ID: delivery.id})
    if fault := key_fault(key):
        raise errors.Permanent("template_failed", f"template 'key': its result {fault}")
    return key


def key_fault(key: str) -> str | None:
    """Return the rule that the key breaks. The text does not quote the key."""
    size = len(http_kind.utf8(key))
    if re.search(UNFIT, key):
        return "must have no control characters and no line breaks"
    if not key or size > MAX_KEY_BYTES:
        return f"must have 1 to {MAX_KEY_BYTES} bytes; it has {size}"
    if any(part.strip() in ("", ".", "..") for part in key.split("/")) or "\\" in key:
        return "must have no empty parts between `/`, no `.` or `..` as a part, and no backslash"
    return "must not be a name that Cloud Storage reserves" if key.startswith(_RESERVED) else None


def content_of(event: Event, settings: Settings) -> Content:
    """Return the content of the event's object, the same bytes each time.

    Raises Permanent: `expression_failed`, `conversion_failed` or `output_too_large`.
    """
    try:
        plain, type_ = _written(event, settings)
    except writing.FormatFault as fault:
        rule = f"the object as {settings.format}: {fault.message('value')}"
        raise errors.Permanent("conversion_failed", rule) from None
    except (ValueError, RecursionError) as error:  # a number that is not finite, or data that is nested too deeply
        raise errors.Permanent(
            "conversion_failed", f"the object as {settings.format}: JSON has no such value"
        ) from error
    # Without `mtime`, gzip writes the time into the content. 6 is the usual level of gzip.
    body = gzip.compress(plain, compresslevel=6, mtime=0) if settings.gzip else plain
    if settings.content_type is not None:
        type_ = settings.content_type
    elif settings.gzip:
        type_ = GZIP_TYPE
    return Content(body, type_, plain)


def _written(event: Event, settings: Settings) -> tuple[bytes, str]:
    """Return the event in the settings' format, and the content type of that."""
    type_ = CONTENT_TYPES[settings.format]
    if settings.format == "raw":
        return _raw(event, settings)
    value = _value(event, settings)
    if settings.format == "json":
        return http_kind.json_body(value), type_
    items: list[jsontext.Json] = value if isinstance(value, list) else [value]
    if settings.format == "ndjson":
        return http_kind.utf8(text_writers.write_ndjson(items)), type_
    rows: list[jsontext.Json] = [
        {name: _cell(bounded_texts.compiled_expression(text).search(item)) for name, text in settings.columns.items()}
        for item in items
    ]
    return http_kind.utf8(text_writers.write_csv(rows, ",")), type_


def _value(event: Event, settings: Settings) -> jsontext.Json:
    """Return what is written, in any format but `raw`. Raises Permanent."""
    if settings.value is not None:
        return bounded_texts.compiled_expression(settings.value).search(view_of(event))
    return view_of(event) if settings.format == "csv" else http_kind.public_cloudevent(event)


def _cell(value: jsontext.Json) -> jsontext.Json:
    return jsontext.to_json(value) if isinstance(value, list | dict) else value


def _raw(event: Event, settings: Settings) -> tuple[bytes, str]:
    """Return the body as it was received if the source keeps it; otherwise text and bytes as they are, and any other
    data as JSON."""
    if settings.value is None and (event.rawbody is not None or event.rawbase64 is not None):
        encoded = event.rawbase64 or ""
        body = jsontext.decode_base64(encoded, strict=False) if event.rawbody is None else event.rawbody.encode()
        return body, _safe_type(event.rawtype)
    data = event.data if settings.value is None else _value(event, settings)
    if content := bytes_in(data):
        return content[0], _safe_type(content[1])
    noted_type = event.datatype if isinstance(data, str) and settings.value is None else None
    usual = "text/plain; charset=utf-8" if isinstance(data, str) else CONTENT_TYPES["json"]
    return http_kind.utf8(text_writers.write_text(data)), _safe_type(noted_type, usual)


def _safe_type(sender_type: str | None, usual: str = CONTENT_TYPES["raw"]) -> str:
    """Return the content type that the sender stated, if it has the form of a content type."""
    return sender_type if sender_type is not None and MEDIA_TYPE.fullmatch(sender_type) else usual
