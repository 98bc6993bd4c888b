"""SMTP_URL: which server takes our mail."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

Security = Literal["tls", "starttls", "none"]


class SmtpUrlFault(ValueError):
    """It never holds the URL, which may hold a password."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """`security` is `none` for a server on this machine only."""

    host: str
    port: int
    security: Security
    user: str | None = None


def parse_smtp_url(url: str) -> SmtpServer:
    """`smtp://user@host:587` (STARTTLS) or `smtps://user@host:465` (TLS). Raises SmtpUrlFault."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587") from error
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SmtpUrlFault("is not a URL such as smtp://user@host:587 or smtps://user@host:465")
    if parts.password is not None:
        raise SmtpUrlFault("holds a password: put it in the secret smtp-password, and leave the user name alone")
    user = unquote(parts.username) if parts.username else None
    if parts.scheme == "smtps":
        return SmtpServer(parts.hostname, port or 465, "tls", user)
    return SmtpServer(parts.hostname, port or 587, "none" if _is_this_machine(parts.hostname) else "starttls", user)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
