"""The check of the mail settings in the environment. A deployment copies them to notify, where a fault holds every
mail."""

from collections.abc import Iterator, Mapping
from typing import Final

from deploy.config.notify_destinations import destinations_of_kind
from functions.notify.destinations.email import email, mail, smtp_server
from shared.jsontext import JsonObject, texts_at, value_at

TLS_PORT: Final = 465
"""The port of SMTP over TLS: RFC 8314, 3.3."""
STARTTLS_PORTS: Final = (25, 587)
"""The ports on which a connection begins without TLS: RFC 3207; RFC 6409, 3.1."""
DOCUMENTATION_DOMAINS: Final = frozenset({"example.com", "example.net", "example.org"})
"""The domains of examples, which nobody can own: RFC 2606, 3."""


def mail_settings_warnings(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield warnings about settings that are valid, but that a deployment can probably not use."""
    domain = environ.get("EMAIL_FROM", "").rpartition("@")[2].rstrip("> ").lower()
    if domain in DOCUMENTATION_DOMAINS:
        yield f"EMAIL_FROM is at {domain}, which exists in documentation only: set an address of your own"
    try:
        server = smtp_server.parse_smtp_url(environ.get("SMTP_URL", ""))
    except smtp_server.SmtpUrlFault:
        return
    if server.security == "none":
        yield f"SMTP_URL names {server.host}, which is this machine only: a deployment in a cloud cannot reach it"
    if server.security != "tls" and server.port == TLS_PORT:
        yield f"SMTP_URL has port {TLS_PORT}, where servers expect TLS from the start: write smtps://"
    if server.security == "tls" and server.port in STARTTLS_PORTS:
        yield f"SMTP_URL has port {server.port}, where servers begin without TLS: write smtp://"


def senders(notify: JsonObject, email_from: str | None) -> dict[str, mail.Address | str]:
    """Return the sender of each mail destination by name, or the reason why it has none."""
    found: dict[str, mail.Address | str] = {}
    for name, settings in destinations_of_kind(notify, "email").items():
        own = settings.get("from")
        sender = email.sender_of(None if own is None else str(own), email_from, texts_at(settings, "to"))
        found[name] = sender if isinstance(sender, mail.Address) else sender.reason
    return found


def recipients_as_senders(notify: JsonObject, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each destination whose mails have no other sender than their first recipient."""
    if environ.get("EMAIL_FROM"):
        return
    for name, sender in senders(notify, None).items():
        has_own = value_at(notify, "destinations", name, "settings", "from") is not None
        if isinstance(sender, mail.Address) and not has_own:
            rule = f"its mails are sent from {sender.address}, their first recipient"
            advice = "if it has not, set EMAIL_FROM or the destination's `from`"
            yield f"destination {name!r}: {rule}. The mail service must have verified this address; {advice}"


def without_sender(notify: JsonObject, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a fault for each destination whose mails have no sender."""
    for name, sender in senders(notify, environ.get("EMAIL_FROM")).items():
        if isinstance(sender, str):
            yield f"destination {name!r}: {sender}"


def mail_settings_fault(environ: Mapping[str, str]) -> str | None:
    """Return the fault, or None. It never contains the URL, which may contain a password."""
    try:
        if url := environ.get("SMTP_URL"):
            smtp_server.parse_smtp_url(url)
    except smtp_server.SmtpUrlFault as fault:
        return f"SMTP_URL {fault}"
    try:
        if address := environ.get("EMAIL_FROM"):
            mail.parse_address(address)
    except mail.AddressFault as fault:
        return f"EMAIL_FROM {fault}"
    return None
