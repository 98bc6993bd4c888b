"""The check of senders: SendGrid accepts mail from the addresses that the configuration sends from.

https://www.twilio.com/docs/sendgrid/api-reference/sender-verification and …/domain-authentication
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.cloud_access.gcp import ApiError, ask
from deploy.secrets.needs import mail_transports
from deploy.terminal.finding import Finding, ok, problem, unknown
from functions.notify.destinations.email.email import sender_of
from functions.notify.destinations.email.mail import Address
from shared.jsontext import Json, JsonObject

PAGE: Final = "https://app.sendgrid.com/settings/sender_auth"


@dataclass(frozen=True, slots=True)
class Verified:
    """Addresses and domains in lower case; None if the API key may not read them."""

    addresses: frozenset[str] | None
    domains: frozenset[str] | None


def sender(notify: JsonObject, email_from: str | None, url: str, key: str | None) -> Finding:
    """Check the sender addresses. `key` is None if there is no key that can be read."""
    destinations = [name for name, transport in mail_transports(notify).items() if transport not in ("smtp", "ses")]
    if not destinations:
        return ok("no mail goes through SendGrid")
    found = dict(senders(notify, destinations, email_from))
    faults = [text for text in found.values() if isinstance(text, str)]
    if faults:
        return problem(faults[0], "correct it in the configuration, or set EMAIL_FROM")
    addresses = sorted({each.address for each in found.values() if not isinstance(each, str)})
    if key is None:
        return unknown(f"{', '.join(addresses)}: no SendGrid key to check them with")
    return sender_finding(addresses, verified_by(url, key))


def sender_finding(addresses: Sequence[str], verified: Verified) -> Finding:
    good = verified.addresses or frozenset()
    domains = verified.domains or frozenset()
    lacking = [each for each in addresses if each.lower() not in good and not _is_within(each, domains)]
    if not lacking:
        return ok(f"{', '.join(addresses)} verified")
    if verified.addresses is None or verified.domains is None:
        may = "the SendGrid key may send but not read (which is good): check it yourself"
        return unknown(f"{', '.join(lacking)}: it is unknown if they are verified", f"{may}: {PAGE}")
    return problem(f"SendGrid has not verified {', '.join(lacking)}, and would reject its mail", f"verify it: {PAGE}")


def verified_by(url: str, key: str) -> Verified:
    """Raises ApiError for an unknown key, or if nothing answers."""
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
            raise ApiError(
                401, "", "SendGrid does not know the API key: hookchain secrets set sendgrid-api-key"
            ) from fault
        if fault.status == 403:
            return None
        raise


def _texts(items: Json, name: str, is_good: str) -> frozenset[str]:
    listed = [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []
    return frozenset(str(each[name]).lower() for each in listed if each.get(is_good) is True and name in each)


def _is_within(address: str, domains: frozenset[str]) -> bool:
    """An authenticated domain covers its subdomains."""
    domain = address.rpartition("@")[2].lower()
    return any(domain == each or domain.endswith(f".{each}") for each in domains)


def senders(notify: JsonObject, names: Sequence[str], email_from: str | None) -> Iterator[tuple[str, Address | str]]:
    """Yield each destination with its sender address, or the reason why it has none."""
    destinations = notify["destinations"]
    assert isinstance(destinations, dict)
    for name in names:
        destination = destinations[name]
        assert isinstance(destination, dict)
        settings = destination["settings"]
        assert isinstance(settings, dict)
        own, to = settings.get("from"), settings.get("to")
        found = sender_of(
            own if isinstance(own, str) else None,
            email_from,
            [str(each) for each in to] if isinstance(to, list) else [],
        )
        yield name, found if isinstance(found, Address) else f"destination {name!r}: {found.reason}"
