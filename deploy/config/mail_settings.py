"""The check of the mail settings in the environment. A deployment copies them to notify, where a fault holds every
mail."""

from collections.abc import Mapping

from functions.notify.destinations.email.mail import AddressFault, parse_address
from functions.notify.destinations.email.smtp_server import SmtpUrlFault, parse_smtp_url


def mail_settings_fault(environ: Mapping[str, str]) -> str | None:
    """Return the fault, or None. It never contains the URL, which may contain a password."""
    try:
        if url := environ.get("SMTP_URL"):
            parse_smtp_url(url)
    except SmtpUrlFault as fault:
        return f"SMTP_URL {fault}"
    try:
        if address := environ.get("EMAIL_FROM"):
            parse_address(address)
    except AddressFault as fault:
        return f"EMAIL_FROM {fault}"
    return None
