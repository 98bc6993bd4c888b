"""The settings of the destination `object`, and the key that they give to an object: its name in the bucket."""

import re
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from functions.notify import http_kind, kind_settings
from shared import errors, expressions
from shared.config.rules import SecretName
from shared.delivery import Delivery
from shared.event import UNFIT
from shared.templating.template import KNOWN, Template

Format = Literal["json", "ndjson", "csv", "raw"]
EXTENSIONS: Final[dict[Format, str]] = {"json": ".json", "ndjson": ".ndjson", "csv": ".csv", "raw": ""}
MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(; ?[a-z-]{1,20}=[\w.\"-]{1,70})*", re.ASCII
)
"""A content type, such as `text/csv; charset=utf-8`. Only ASCII: a sender may choose it, and any other character in a
header would make the signature for S3 invalid."""

MAX_KEY_BYTES: Final = 1_024
"""The longest key, in Cloud Storage and in S3."""
_RESERVED: Final = ".well-known/acme-challenge/"
"""Cloud Storage does not accept names that begin with this."""
_DEFAULT_KEY: Final = "{{ source }}/{{ receivedat[:10] }}/{{ delivery_id }}"
"""The default template of the key. The extension of the format follows it."""
_LITERAL: Final = re.compile(r"[^{]*")
"""The beginning of a template before its first expression or tag."""
_DELIVERY_ID: Final = re.compile(r"\{\{-?\s*delivery_id\s*-?\}\}")
"""The expression `{{ delivery_id }}`, also with `-` for the spaces around it: `{{- delivery_id -}}`."""

MetadataName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


def _media_type(text: str) -> str:
    if not MEDIA_TYPE.fullmatch(text):
        raise ValueError("must be a content type, such as text/csv; charset=utf-8")
    return text


@lru_cache(maxsize=1_000)
def key_template(text: str) -> Template:
    """Return the template, which can also use `delivery_id`. Raises TemplateFault."""
    return Template("key", " ".join(text.split()), known=KNOWN | {"delivery_id"})


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
        return self.key or f"{_DEFAULT_KEY}{EXTENSIONS[self.format]}{'.gz' if self.gzip else ''}"

    @property
    def prefix(self) -> str:
        """Return the text that every key begins with: `in/` for `in/{{ id }}.json`."""
        literal = _LITERAL.match(self.key_text)
        return literal[0] if literal else ""

    @property
    def has_key_per_delivery(self) -> bool:
        """Return whether the template puts the delivery's id into every key, so that no two deliveries share a key.

        Templates with tags such as `{% if %}` do not count: they may leave the id out for some events. A comment counts
        too, so `request` also looks for the id in the key.
        """
        return "{%" not in self.key_text and bool(_DELIVERY_ID.search(self.key_text))


def key_of(template: str, delivery: Delivery) -> str:
    """Return the key of the delivery: in each attempt the same.

    Raises Permanent for a name that a program could take for another path, and if the template cannot be filled.
    """
    key = key_template(template).render({**http_kind.template_view(delivery), "delivery_id": delivery.id})
    if fault := key_fault(key):
        raise errors.Permanent("template_failed", f"template 'key': its result {fault}")
    return key


def key_fault(key: str) -> str | None:
    """Return the rule that the key breaks. The text does not quote the key, because an event's data may be in it."""
    size = len(http_kind.utf8(key))
    if re.search(UNFIT, key):
        return "must have no control characters and no line breaks"
    if not key or size > MAX_KEY_BYTES:
        return f"must have 1 to {MAX_KEY_BYTES} bytes; it has {size}"
    if any(part.strip() in ("", ".", "..") for part in key.split("/")) or "\\" in key:
        return "must have no empty parts between `/`, no `.` or `..` as a part, and no backslash"
    return "must not be a name that Cloud Storage reserves" if key.startswith(_RESERVED) else None
