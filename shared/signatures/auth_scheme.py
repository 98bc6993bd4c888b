"""The base class of the auth schemes of sources, and reading a scheme from a slice.

Each scheme is a class with its own settings. Its module is imported only if a source has the scheme, because a sender
waits for receive's start.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar, Final, NamedTuple, Self

from shared import http
from shared.errors import HookchainError, Rejected, Temporary
from shared.jsontext import Json, JsonObject
from shared.signatures.locations import Conditions, Location, RequestFields, parse_location, read_conditions
from shared.signatures.signed_times import TOLERANCE_SECONDS

_MODULES: Final = {
    "hmac": "signature_scheme",
    "digest": "signature_scheme",
    "ed25519": "key_schemes",
    "ecdsa": "key_schemes",
    "rsa": "key_schemes",
    "standard-webhooks": "standard_webhooks",
    "jwt": "jwt",
    "link": "links",
    "aws-sns": "aws_sns",
    "paypal": "paypal",
    "contentful": "contentful",
}
"""The module in whose SCHEMES each scheme is. All other schemes are in passwords.py."""
_FIELD_OF_SETTING: Final = {"key": "key_encoding", "names": "header_prefix"}
"""The fields of schemes whose names differ from those of their settings."""


class UnusableSecret(Temporary):
    """A secret or fetched key that cannot verify anything. It is Temporary, because the operator can replace it."""

    def __init__(self, detail: str) -> None:
        super().__init__("secret_unusable", detail)


class NotAttempted(Rejected):
    """The request carries no credentials for the scheme."""

    def __init__(self, detail: str) -> None:
        super().__init__("signature_mismatch", detail)


class NeededKey(NamedTuple):
    """The URL of a key or certificate. `is_configured` says that the configuration names it, and not the request."""

    url: str
    is_configured: bool


class Coverage(NamedTuple):
    """The parts of a request that cannot be changed without making the signature fail.

    body          the body, byte by byte
    body_fields   the fields of the body that are read: those of a signed body, of PayPal's checksum and of SNS
    query         the fields of the query
    locations     the texts at these locations
    """

    body: bool = False
    body_fields: bool = False
    query: bool = False
    locations: frozenset[Location] = frozenset()

    def covers(self, locations: Iterable[Location]) -> bool:
        """Return whether the signature covers the texts at all these locations."""
        covers_kind = {"header": False, "query": self.query}  # any other kind is in the body
        return all(each in self.locations or covers_kind.get(each.kind, self.body_fields) for each in locations)


# Plain dataclasses, because nothing changes, compares or prints them. This makes a start with an HMAC 2 ms shorter.


@dataclass(eq=False, repr=False, kw_only=True)
class AuthScheme:
    """A way to authenticate the requests that meet `when`. `secret` is the name of its secret."""

    scheme: ClassVar[str]
    """The scheme's name in the configuration."""
    is_in_head: ClassVar[bool] = False
    """The credentials are in the request's head, so they are verified before the body is read."""
    coverage_varies: ClassVar[bool] = False
    """A header of the request decides which parts its signature covers."""
    signature_headers: ClassVar[frozenset[str]] = frozenset()
    """The headers of its signature, if their names are fixed and not settings."""

    secret: str = ""
    variant: str = ""
    when: Conditions = ()

    # Facts that follow from the settings.
    signs_content: bool = field(init=False, default=False)
    """The signature covers content of the request; a password or token is the same for every request."""
    signs_fields: bool = field(init=False, default=False)
    """The signature covers fields of JSON, and not the whole body."""
    can_be_extended: bool = field(init=False, default=False)
    """Anyone who has seen a signature can make one for longer content."""
    signs_body_alone: bool = field(init=False, default=False)
    """The signed content, without the time and the secret, is the body and nothing else."""
    needs_key: bool = field(init=False, default=False)
    """A key or certificate has to be fetched."""

    @classmethod
    def read(cls, entry: "SchemeEntry") -> Self:
        """Read the scheme from its entry in a slice. A scheme with settings that are not texts has its own `read`."""
        return cls(when=entry.when, **entry.strings())

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        """Verify a request that meets `when`.

        Every one of `secrets` is tried. `keys` has, by its URL, each key that needed_key returned.

        Raises NotAttempted if the request has no credentials for the scheme, Rejected if they are wrong (401) or the
        signed id breaks the rule (400), and Temporary for a secret or key that is unusable. No request makes it raise
        anything else.
        """
        raise NotImplementedError

    def needed_key(self, fields: RequestFields, now: float) -> NeededKey | None:
        """Return the key or certificate that verify needs for this request; None for most schemes.

        First makes all checks of verify that need no key. Raises Rejected if one fails, so that nothing is fetched.
        """
        return None

    @property
    def credentials(self) -> tuple[Location, ...]:
        """The configured locations of the password, the token or the signature."""
        return ()

    @property
    def credentials_text(self) -> str:
        return " or ".join(map(described, self.credentials)) or "the request"

    @property
    def locations(self) -> tuple[Location, ...]:
        """Every location that the scheme reads."""
        return (*self.credentials, *(location for location, _ in self.when))

    @property
    def looks_in_body(self) -> bool:
        """Return whether the body is parsed to find the credentials."""
        return any(location.kind in {"data", "form"} for location in self.locations)

    @property
    def items_path(self) -> tuple[str, ...]:
        """The path to the items of the body if each item has its own signature; empty if the body has one signature."""
        return ()

    # The following methods describe the signed part of a verified request. A sender that repeats a request signs it
    # again, often at another time and perhaps with another secret. So neither is part of the signed content.

    def coverage(self, unpacked: str, request: http.Request) -> Coverage:
        """Return what the signature covers. `unpacked` is the field of a form that has the data; empty for no such."""
        return Coverage()

    def signed_content(self, fields: RequestFields) -> bytes:
        """Return the signed content, without the time and the secret."""
        return fields.request.body

    def signed_item(self, fields: RequestFields, item: Json) -> bytes:
        """Return the signed content of an item, for bodies whose items are signed one by one."""
        return self.signed_content(fields)

    def signed_time(self, fields: RequestFields) -> str:
        """Return the signed time as the sender wrote it; empty if no time is signed."""
        return ""


@dataclass(eq=False, repr=False, kw_only=True)
class TimedScheme(AuthScheme):
    """A scheme that limits the age of a request. Most such schemes sign the time of the request."""

    tolerance_seconds: int = TOLERANCE_SECONDS

    @classmethod
    def read(cls, entry: "SchemeEntry") -> Self:
        tolerance_seconds = entry.seconds("tolerance_seconds", TOLERANCE_SECONDS)
        return cls(tolerance_seconds=tolerance_seconds, when=entry.when, **entry.strings())

    @property
    def signs_time(self) -> bool:
        return True


def verify_request(
    request: http.Request,
    auth: AuthScheme,
    secrets: Sequence[str],
    keys: Mapping[str, bytes],
    now: float,
    url: str | None = None,
) -> None:
    """Verify the request by the scheme. Raises what the scheme's `verify` raises.

    `url` is the request's URL as its sender knows it; None for the URL that the request shows.
    """
    fields = RequestFields(request, url)
    if not fields.meets(auth.when):
        raise NotAttempted("this auth scheme is not for such a request")
    auth.verify(fields, secrets, keys, now)


def is_attempted(fields: RequestFields, auth: AuthScheme) -> bool:
    """Return whether the request carries credentials for the scheme that are not in its head."""
    if auth.is_in_head or not fields.meets(auth.when):
        return False
    try:
        auth.verify(fields, (), {}, 0)
    except NotAttempted:
        return False
    except HookchainError:
        pass  # the credentials are wrong, as any are without a secret
    return True


def fetched_key(keys: Mapping[str, bytes], url: str) -> bytes:
    """Return the key or certificate of the URL. Raises Temporary (`key_unavailable`) if it was not fetched."""
    if url not in keys:
        raise Temporary("key_unavailable", "the provider's key has not been fetched")
    return keys[url]


def mismatch(detail: str) -> Rejected:
    """Return the error for a request without a signature, or with a wrong one. `detail` must quote nothing of the
    request."""
    return Rejected("signature_mismatch", detail)


def described(location: Location) -> str:
    return f"the header {location.name}" if location.kind == "header" else str(location)


def read_scheme(entry: Json) -> AuthScheme:
    """Read a scheme from a slice, whose shape the compiler has checked, with the class that its module has for it."""
    assert isinstance(entry, dict)
    name = str(entry["scheme"])
    module_name = _MODULES.get(name, "passwords")
    module = import_module(f"shared.signatures.{module_name}")
    schemes: Mapping[str, type[AuthScheme]] = module.SCHEMES
    return schemes[name].read(SchemeEntry(entry))


class SchemeEntry:
    """The settings of a scheme in a slice, whose shape the compiler has checked."""

    def __init__(self, settings: JsonObject) -> None:
        self.settings = settings

    @property
    def when(self) -> Conditions:
        return read_conditions(self.settings.get("when"))

    def strings(self, *, without: Collection[str] = ()) -> dict[str, str]:
        """Return the settings that are texts, by the names of the scheme's fields. Those named in `without` are left
        out."""
        skipped = {"scheme", *without}
        texts = {name: text for name, text in self.settings.items() if isinstance(text, str) and name not in skipped}
        return {_FIELD_OF_SETTING.get(name, name): text for name, text in texts.items()}

    def seconds(self, name: str, default: int) -> int:
        value = self.settings.get(name, default)
        assert isinstance(value, int)
        return value

    def location(self, name: str) -> Location | None:
        value = self.settings.get(name)
        return parse_location(value) if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        return text_list(self.settings.get(name))


def text_list(value: Json) -> tuple[str, ...]:
    """Return the texts of a setting that is a text or a list of texts; an empty tuple if it is not set."""
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)
