"""hookchain.yaml as types: what an operator may write, checked with pydantic before anything is compiled from it.

Steps and destinations are checked by their own models, which the compiler brings: this module knows only their place.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

from shared.jsontext import Json
from shared.secrets import SECRET_NAME
from shared.signatures import TOLERANCE_SECONDS

MEBIBYTE: Final = 1024 * 1024
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_LOCATION: Final = re.compile(r"(header|query)\.[^\s.]+|data(\.[^.]+)+")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


def _secret_name(text: str) -> str:
    if not SECRET_NAME.fullmatch(text):
        raise ValueError("a secret is given by its name: a lower-case letter, then letters, digits and '-', at most 63")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name is letters, digits, '-' and '_', at most 63, and begins with a letter or digit")
    return text


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        raise ValueError("is not a header's name")
    return text.lower()


def _location(text: str) -> str:
    if not _LOCATION.fullmatch(text):
        raise ValueError("is not a location: write header.NAME, query.NAME or data.path.to.field")
    return text


def duration_seconds(value: object) -> object:
    """`90`, `90s`, `5m`, `2h` or `1d` as seconds; anything else unchanged, for pydantic to refuse."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return float(found[1]) * _UNIT_SECONDS[found[2]]
    return value


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _ways(value: object) -> object:
    """`none` is no way at all, said aloud; a list that is empty says nothing."""
    if value == []:
        raise ValueError("SECRET_MISSING: name at least one way in, or write `auth: none`")
    return [] if value == "none" else _listed(value)


SecretName = Annotated[str, AfterValidator(_secret_name)]
Name = Annotated[str, AfterValidator(_name)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
LocationText = Annotated[str, AfterValidator(_location)]
Seconds = Annotated[float, BeforeValidator(duration_seconds), Field(ge=0)]


class BasicAuth(Model):
    """Basic authentication. Without `username`, any user name goes with the password."""

    scheme: Literal["basic"]
    username: str | None = None
    secret: SecretName


class HeaderAuth(Model):
    """A password in a header of its own."""

    scheme: Literal["header"]
    header: HeaderName = "x-webhook-password"
    secret: SecretName


class BearerAuth(Model):
    """`Authorization: Bearer …`"""

    scheme: Literal["bearer"]
    secret: SecretName


class PathAuth(Model):
    """A token in the path, `/<source>/<token>`, for senders that have nothing else."""

    scheme: Literal["path"]
    secret: SecretName


class QueryAuth(Model):
    """A token in the query, for senders that have nothing else."""

    scheme: Literal["query"]
    parameter: str = "token"
    secret: SecretName


class HmacAuth(Model):
    """HMAC of the raw body."""

    scheme: Literal["hmac"]
    header: HeaderName
    algorithm: Literal["sha256", "sha512", "sha384", "sha1", "md5"] = "sha256"
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    prefix: str = ""
    secret: SecretName


class StandardWebhooksAuth(Model):
    """Standard Webhooks, symmetric (v1)."""

    scheme: Literal["standard-webhooks"]
    secret: SecretName
    tolerance_seconds: int = Field(TOLERANCE_SECONDS, ge=1, le=86_400)


Auth = Annotated[
    BasicAuth | HeaderAuth | BearerAuth | PathAuth | QueryAuth | HmacAuth | StandardWebhooksAuth,
    Field(discriminator="scheme"),
]


class SourceConfig(Model):
    """A sender. `auth` is one way in, or a list of which any will do, or `none` said aloud.

    With `unwrap`, what the one element of an XML document holds is the data, as if it had come in JSON.
    """

    auth: Annotated[list[Auth], BeforeValidator(_ways)]
    methods: list[Literal["POST", "PUT", "PATCH"]] = Field(default=["POST"], min_length=1)
    max_body_bytes: int = Field(MEBIBYTE, ge=1, le=10 * MEBIBYTE)
    unwrap: bool = False
    keep_raw: bool | None = None
    dedupe: Literal["body"] | None = None
    type: LocationText | None = None
    id: LocationText | None = None
    subject: LocationText | None = None
    actor: LocationText | None = None
    time: LocationText | None = None

    @model_validator(mode="before")
    @classmethod
    def _needs_auth(cls, value: object) -> object:
        if isinstance(value, dict) and "auth" not in value:
            raise ValueError("SECRET_MISSING: say how its sender proves itself with `auth`, or `auth: none`")
        return value


class RouteConfig(Model):
    """Which events, through which steps, to which destinations."""

    name: str = Field(min_length=1, max_length=100)
    from_: Annotated[list[str], BeforeValidator(_listed), Field(alias="from", min_length=1)] = ["all"]
    types: Annotated[list[str], BeforeValidator(_listed)] = []
    where: str | None = None
    steps: list[dict[str, JsonValue]] = []
    to: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]


class DestinationConfig(BaseModel):
    """One key names the kind and holds its settings; the others are the same for every kind."""

    model_config = ConfigDict(extra="allow", frozen=True)

    retry: list[Seconds] | None = Field(default=None, max_length=50)
    timeout: Seconds = Field(15.0, ge=1, le=60)
    on_unknown: Literal["resend", "hold"] = "resend"

    @property
    def kinds(self) -> Mapping[str, Json]:
        return self.model_extra or {}

    @model_validator(mode="after")
    def _one_kind(self) -> "DestinationConfig":
        if len(self.kinds) != 1:
            found = ", ".join(sorted(self.kinds)) or "none"
            raise ValueError(f"a destination has one key that says what it is, such as `email`; found {found}")
        return self


class Retention(Model):
    events: Seconds = 30 * 86_400
    bodies: Seconds = 7 * 86_400
    dead_letters: Seconds = 45 * 86_400


class BundleConfig(Model):
    """The whole file."""

    sources: dict[Name, SourceConfig] = Field(min_length=1)
    routes: list[RouteConfig] = []
    destinations: dict[Name, DestinationConfig] = {}
    lists: dict[Name, list[str]] = {}
    retention: Retention = Retention()
