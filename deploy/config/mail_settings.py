"""What of the environment mails are sent with. A deployment hands it over as it is, to be seen by whoever sees the
function, and a fault in it would hold every mail."""

from collections.abc import Mapping

from functions.notify.destinations.email.mail import AddressFault, parse_address
from functions.notify.destinations.email.smtp import SmtpUrlFault, parse_smtp_url


def mail_fault(environ: Mapping[str, str]) -> str | None:
    """In words that never hold the URL, which may hold a password."""
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
