"""The SMTP server that SMTP_URL names: where it is, how the connection is encrypted, and who logs in."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

Security = Literal["tls", "starttls", "none"]


class SmtpUrlFault(ValueError):
    """An SMTP_URL that cannot be used. The text never contains the URL, which may contain a password."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The SMTP server. `security` is `none` only for a server on this machine."""

    host: str
    port: int
    security: Security
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """The user in SMTP_URL, and the password in the secret `smtp-password`."""

    user: str
    password: str


class CannotSend(Exception):
    """The server accepts no mail from us: with `held` until an operator acts as the message says, otherwise for now."""

    def __init__(self, message: str, *, held: bool) -> None:
        super().__init__(message)
        self.message = message
        self.held = held


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp://user@host:587` (STARTTLS) or `smtps://user@host:465` (TLS). Raises SmtpUrlFault."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587") from error
    if split.scheme not in {"smtp", "smtps"} or not split.hostname or split.path.strip("/") or split.query:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587 or smtps://user@host:465")
    if split.password is not None:
        raise SmtpUrlFault("holds a password: put it in the secret smtp-password, and leave the user name alone")
    user = unquote(split.username) if split.username else None
    if split.scheme == "smtps":
        return SmtpServer(split.hostname, port or 465, "tls", user)
    return SmtpServer(split.hostname, port or 587, "none" if _is_this_machine(split.hostname) else "starttls", user)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
