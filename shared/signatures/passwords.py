"""Passwords and tokens: the secret itself, sent along in the head of a request or in its body."""

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
    """Verify a password or token that a request carries. Raises Rejected (`password_mismatch`)."""
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
    """A password or token in the head."""

    is_in_head: ClassVar[bool] = True

    def password_in(self, fields: RequestFields) -> str | None:
        """Return the password that the request carries."""
        raise NotImplementedError

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        verify_password(self.password_in(fields), secrets)


@dataclass(eq=False, repr=False, kw_only=True)
class BasicScheme(PasswordScheme):
    """Basic authentication. Without `username`, any user name goes with the password."""

    scheme = "basic"
    username: str | None = None

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        user, password = basic_credentials(fields.request.header("authorization"))
        verify_password(password, secrets)
        if self.username is not None:
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
        parts = fields.request.path.split("/")
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
    """A token at a location; if the path has `*`, at every element."""

    scheme = "token"
    at: Location
    prefix: str = ""

    @classmethod
    def read(cls, entry: auth_scheme.SchemeEntry) -> Self:
        at = parse_location(str(entry.settings["at"]))
        return cls(at=at, when=entry.when, **entry.strings("at"))

    @property
    def credentials(self) -> tuple[Location, ...]:
        return (self.at,)

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        """Verify the token of each element: one item with another token would pass among the rest."""
        texts = fields.data_texts(self.at) if self.at.kind == "data" else [fields.text(self.at)]
        if not texts:
            raise Rejected("password_mismatch", "the body holds no item, and so no token")
        for text in texts:
            has_prefix = text is not None and text.startswith(self.prefix)
            token = text[len(self.prefix) :] if text is not None and has_prefix else None
            verify_password(token, secrets)


SCHEMES: Final[Mapping[str, type[auth_scheme.AuthScheme]]] = MappingProxyType(
    {
        each.scheme: each
        for each in (NoScheme, BasicScheme, HeaderScheme, BearerScheme, PathScheme, QueryScheme, TokenScheme)
    }
)


def basic_credentials(header: str | None) -> tuple[str | None, str | None]:
    """Return the user name and the password (RFC 7617, UTF-8); None for both if the header holds none."""
    scheme, _, blob = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        user, colon, password = base64.b64decode(blob.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None, None
    return (user, password) if colon else (None, None)


def bearer_token(header: str | None) -> str | None:
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None
