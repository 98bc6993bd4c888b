"""The check of senders: SendGrid or SES accepts mail from the addresses that the configuration sends from.

In its sandbox, SES sends to verified addresses only.
https://docs.aws.amazon.com/ses/latest/APIReference-V2/Welcome.html
https://www.twilio.com/docs/sendgrid/api-reference/sender-verification and …/domain-authentication
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.cloud_access.aws import AwsApi
from deploy.cloud_access.gcp import ApiError, ask
from deploy.config import mail_settings
from deploy.doctor.checks import NOT_COMPILED, Subject
from deploy.secrets.backend import SecretBackend
from deploy.secrets.needs import mail_transports
from deploy.terminal.finding import Finding, ok, problem, unknown
from functions.notify.destinations.email.mail import Address
from functions.notify.destinations.email.transports import API_KEY
from shared.jsontext import Json, JsonObject, objects_at, texts_at
from shared.settings import read_settings
from shared.templating.template import is_template

PAGE: Final = "https://app.sendgrid.com/settings/sender_auth"


@dataclass(frozen=True, slots=True)
class Verified:
    """Addresses and domains in lower case; None if the API key may not read them."""

    addresses: frozenset[str] | None
    domains: frozenset[str] | None


def sendgrid_senders(subject: Subject, read_key: Callable[[], str | None], *, catches: bool = False) -> Finding:
    """Check the sender addresses of the mails that go through SendGrid.

    `read_key` returns None if there is no key that can be read. `catches`: without a key, mails are caught.
    """
    if not subject.slices:
        return NOT_COMPILED
    if fault := mail_settings.mail_settings_fault(subject.environ):
        return problem(fault, "correct it in your shell or in .env")
    settings = read_settings(subject.environ)
    key = read_key()
    if catches and not key:
        return ok("mail is caught here, not sent")
    transports = mail_transports(subject.notify)
    destinations = [name for name, transport in transports.items() if transport not in ("smtp", "ses")]
    if not destinations:
        return ok("no mail goes through SendGrid")
    addresses = _addresses(subject.notify, destinations, settings.email_from)
    if isinstance(addresses, Finding):
        return addresses
    if key is None:
        return unknown(f"{', '.join(addresses)}: no SendGrid key to check them with")
    return _sendgrid_finding(addresses, _verified_by(settings.sendgrid_url, key))


def stored_key(backend: SecretBackend) -> str | None:
    """Return SendGrid's key; None if it is not stored or cannot be read. Raises BackendError."""
    stored = backend.find([API_KEY]).get(API_KEY)
    return stored.values[0] if stored and stored.values else None


def aws_senders(subject: Subject, backend: SecretBackend, api: AwsApi) -> Finding:
    """Check the senders at the mail services that notify uses on AWS.

    A destination that names no service (`auto`) uses SendGrid if its key is stored, else SMTP if there is an SMTP_URL,
    else SES. If both SendGrid and SES are used, a problem with SendGrid is reported first.
    """
    if not subject.slices:
        return NOT_COMPILED
    key = stored_key(backend)
    settings = read_settings(subject.environ)
    is_ses_default = key is None and not settings.smtp_url
    ses_transports = {"ses", "auto"} if is_ses_default else {"ses"}
    transports = mail_transports(subject.notify)
    by_ses = [name for name, transport in transports.items() if transport in ses_transports]
    if not by_ses:
        return sendgrid_senders(subject, lambda: key)
    if len(by_ses) < len(transports):
        sendgrid_finding = sendgrid_senders(subject, lambda: key)
        if sendgrid_finding.verdict == "problem":
            return sendgrid_finding
    return ses_senders(api, subject.notify, by_ses, settings.email_from)


def _sendgrid_finding(addresses: Sequence[str], verified: Verified) -> Finding:
    good = verified.addresses or frozenset()
    domains = verified.domains or frozenset()
    lacking = [each for each in addresses if each.lower() not in good and not _is_within(each, domains)]
    if not lacking:
        return ok(f"{', '.join(addresses)} verified")
    if verified.addresses is None or verified.domains is None:
        may = "the SendGrid key can send but not read, as recommended: check it yourself"
        return unknown(f"{', '.join(lacking)}: not known whether they are verified", f"{may}: {PAGE}")
    return problem(f"SendGrid has not verified {', '.join(lacking)}, and would reject its mail", f"verify it: {PAGE}")


def _verified_by(url: str, key: str) -> Verified:
    """Ask SendGrid for what it has verified. Raises ApiError for an unknown key, or if nothing answers."""
    headers = {"Authorization": f"Bearer {key}"}
    senders = _read(f"{url}/v3/verified_senders?limit=1000", headers)
    domains = _read(f"{url}/v3/whitelabel/domains?limit=500", headers)
    return Verified(
        None if senders is None else _texts(senders.get("results"), "from_email", "verified"),
        None if domains is None else _texts(domains.get("items"), "domain", "valid"),
    )


def _read(url: str, headers: Mapping[str, str]) -> JsonObject | None:
    try:
        return ask("GET", url, headers)
    except ApiError as fault:
        if fault.status == 401:
            unknown_key = "SendGrid does not know the API key: hookchain secrets set sendgrid-api-key"
            raise ApiError(401, "", unknown_key) from fault
        if fault.status == 403:
            return None
        raise


def _texts(items: Json, name: str, is_good: str) -> frozenset[str]:
    return frozenset(
        str(each[name]).lower() for each in objects_at(items) if each.get(is_good) is True and name in each
    )


def _is_within(address: str, domains: frozenset[str]) -> bool:
    """An authenticated domain covers its subdomains."""
    domain = address.rpartition("@")[2].lower()
    return any(domain == each or domain.endswith(f".{each}") for each in domains)


def _addresses(notify: JsonObject, names: Sequence[str], email_from: str | None) -> list[str] | Finding:
    """Return the destinations' sender addresses; what is wrong if one of them has none."""
    senders = mail_settings.senders(notify, email_from)
    faults = [f"destination {name!r}: {senders[name]}" for name in names if isinstance(senders[name], str)]
    if faults:
        return problem(faults[0], "correct it in the configuration, or set EMAIL_FROM")
    return sorted({each.address for name in names if isinstance(each := senders[name], Address)})


def ses_senders(api: AwsApi, notify: JsonObject, destinations: Sequence[str], email_from: str | None) -> Finding:
    """Check that SES sends mail from the destinations' senders, and in its sandbox to their recipients."""
    addresses = _addresses(notify, destinations, email_from)
    if isinstance(addresses, Finding):
        return addresses
    account = api.call("sesv2", "get_account")
    recipients = sorted(_recipients(notify, destinations)) if account.get("ProductionAccessEnabled") is False else []
    verified = {each: is_verified(api, each) for each in {*addresses, *recipients}}
    return ses_finding(api.region, account, addresses, recipients, verified)


def ses_finding(
    region: str, account: JsonObject, addresses: Sequence[str], recipients: Sequence[str], verified: Mapping[str, bool]
) -> Finding:
    """`recipients` are those of an account in the sandbox, which sends to verified addresses only."""
    page = f"https://console.aws.amazon.com/ses/home?region={region}#/account"
    if account.get("SendingEnabled") is False:
        return problem(f"SES does not send in {region}: the account's sending is paused", page)
    lacking = [each for each in addresses if not verified[each]]
    if lacking:
        verify = f"aws sesv2 create-email-identity --email-identity {lacking[0]} --region {region}"
        return problem(f"SES has not verified {', '.join(lacking)} in {region}, and would reject its mail", verify)
    if account.get("ProductionAccessEnabled") is not False:
        return ok(f"{', '.join(addresses)} verified by SES")
    closed = [each for each in recipients if not verified[each]]
    if closed:
        message = f"SES is in its sandbox in {region}, and has not verified the recipients {', '.join(closed)}"
        return problem(message, f"request production access: {page}")
    return ok(f"{', '.join(addresses)} verified by SES, which is in its sandbox: it sends to verified addresses only")


def is_verified(api: AwsApi, address: str) -> bool:
    """Return True if the address is verified, or its domain or a parent of that is. Raises AwsFault."""
    domain = address.rpartition("@")[2]
    labels = domain.split(".")
    domains = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    return any(_is_identity(api, identity) for identity in [address, *domains])


def _is_identity(api: AwsApi, identity: str) -> bool:
    found = api.find("sesv2", "get_email_identity", EmailIdentity=identity) or {}
    return found.get("VerifiedForSendingStatus") is True


def _recipients(notify: JsonObject, names: Sequence[str]) -> set[str]:
    """Return the addresses that the configuration names. Those that a template makes are not known."""
    texts = [text for name in names for text in texts_at(notify, "destinations", name, "settings", "to")]
    return {text for text in texts if not is_template(text)}
