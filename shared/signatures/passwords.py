"""The auth schemes in which a request carries the secret itself, as a password or token in its head or body.

AuthScheme in shared/signatures/auth_scheme.py says when the methods of a scheme are called.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Self
from urllib.parse import unquote

from shared.errors import Rejected
from shared.signatures import auth_scheme, signing
from shared.signatures.locations import Location, RequestFields, parse_location


def verify_password(password: str | None, secrets: Sequence[str]) -> None:
    """Verify that a password or token is one of the secrets.

    Raises Rejected (`password_mismatch`), also for None, which means that the request carries none.
    """
    if password is None:
        raise Rejected("password_mismatch", "the request has no password or token where this source expects it")
    if not signing.matches_any([password], secrets):
        raise Rejected("password_mismatch", "the password or token is not this source's")


class NoScheme(auth_scheme.AuthScheme):
    """No authentication."""

    scheme = "none"
    is_in_head: ClassVar[bool] = True

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        return


class PasswordScheme(auth_scheme.AuthScheme):
    """A scheme that verifies one password or token in the head of the request."""

    is_in_head: ClassVar[bool] = True

    def password_in(self, fields: RequestFields) -> str | None:
        """Return the password that the request carries, or None if it carries none."""
        raise NotImplementedError

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        verify_password(self.password_in(fields), secrets)


@dataclass(eq=False, repr=False, kw_only=True)
class BasicScheme(PasswordScheme):
    """Basic authentication. Without `username`, every user name is accepted."""

    scheme = "basic"
    username: str | None = None

    def password_in(self, fields: RequestFields) -> str | None:
        _, password = basic_credentials(fields.request.header("authorization"))
        return password

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        super().verify(fields, secrets, keys, now)
        if self.username is not None:
            user, _ = basic_credentials(fields.request.header("authorization"))
            # A wrong user name is rejected like a wrong password, so that a stranger cannot learn which one was wrong.
            verify_password(user, (self.username,))


@dataclass(eq=False, repr=False, kw_only=True)
class HeaderScheme(PasswordScheme):
    """A password in a header."""

    scheme = "header"
    header: str

    @property
    def credentials(self) -> tuple[Location, ...]:
        return (Location("header", (self.header.lower(),)),)

    def password_in(self, fields: RequestFields) -> str | None:
        return fields.request.header(self.header)


class BearerScheme(PasswordScheme):
    """A token in the Authorization header."""

    scheme = "bearer"

    def password_in(self, fields: RequestFields) -> str | None:
        return bearer_token(fields.request.header("authorization"))


class PathScheme(PasswordScheme):
    """A token in the path, after the source's name."""

    scheme = "path"

    def password_in(self, fields: RequestFields) -> str | None:
        parts = fields.request.path.split("/")  # empty, the source's name, the token
        return unquote(parts[2]) if len(parts) == 3 and parts[2] else None


@dataclass(eq=False, repr=False, kw_only=True)
class QueryScheme(PasswordScheme):
    """A token in a parameter of the query."""

    scheme = "query"
    parameter: str

    @property
    def credentials(self) -> tuple[Location, ...]:
        return (Location("query", (self.parameter,)),)

    def password_in(self, fields: RequestFields) -> str | None:
        return fields.query.get(self.parameter)


@dataclass(eq=False, repr=False, kw_only=True)
class TokenScheme(auth_scheme.AuthScheme):
    """A token at a location in the request. If the location is a list, as in `data.*.token`, each item has a token."""

    scheme = "token"
    at: Location
    prefix: str = ""

    @classmethod
    def read(cls, entry: auth_scheme.SchemeEntry) -> Self:
        location = parse_location(str(entry.settings["at"]))
        return cls(at=location, when=entry.when, **entry.strings(without={"at"}))

    @property
    def credentials(self) -> tuple[Location, ...]:
        return (self.at,)

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        """Verify every token at the location, so that an item without the token does not pass among the others."""
        texts = self.texts(fields)
        if not texts:
            raise Rejected("password_mismatch", "the body holds no item, and so no token")
        for text in texts:
            verify_password(self.token(text), secrets)

    def texts(self, fields: RequestFields) -> list[str | None]:
        """Return the text at the location, or of each item; None if there is none."""
        return fields.data_texts(self.at) if self.at.kind == "data" else [fields.text(self.at)]

    def token(self, text: str | None) -> str | None:
        """Return the text without the prefix; None for no text, or for one without the prefix."""
        if text is None or not text.startswith(self.prefix):
            return None
        return text.removeprefix(self.prefix)


def basic_credentials(header: str | None) -> tuple[str | None, str | None]:
    """Return the user name and the password (RFC 7617, UTF-8); None for both if the header holds none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None, None
    user, colon, password = decoded.partition(":")
    return (user, password) if colon else (None, None)


def bearer_token(header: str | None) -> str | None:
    """Return the token of an Authorization header (RFC 6750); None if the header holds none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


SCHEMES: Final[Mapping[str, type[auth_scheme.AuthScheme]]] = MappingProxyType(
    {
        each.scheme: each
        for each in (NoScheme, BasicScheme, HeaderScheme, BearerScheme, PathScheme, QueryScheme, TokenScheme)
    }
)
"""The classes by the scheme's name in the configuration."""
