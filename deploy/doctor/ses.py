"""The check of senders at SES: it accepts mail from verified identities, and in its sandbox to them only.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/Welcome.html
"""

from collections.abc import Mapping, Sequence

from deploy.cloud_access.aws import AwsApi, AwsFault
from deploy.doctor.sender import senders
from deploy.terminal.finding import Finding, ok, problem
from shared.jsontext import Json, JsonObject
from shared.templating.template import is_template


def ses_senders(api: AwsApi, notify: JsonObject, destinations: Sequence[str], email_from: str | None) -> Finding:
    """Check that SES sends mail from the destinations' senders, and in its sandbox to their recipients."""
    found = dict(senders(notify, destinations, email_from))
    faults = [each for each in found.values() if isinstance(each, str)]
    if faults:
        return problem(faults[0], "correct it in the configuration, or set EMAIL_FROM")
    addresses = sorted({each.address for each in found.values() if not isinstance(each, str)})
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
    try:
        return api.call("sesv2", "get_email_identity", EmailIdentity=identity).get("VerifiedForSendingStatus") is True
    except AwsFault as fault:
        if fault.code == "NotFoundException":
            return False
        raise


def _recipients(notify: JsonObject, names: Sequence[str]) -> set[str]:
    """Return the addresses that the configuration names. Those that a template makes are not known."""
    destinations = notify.get("destinations")
    settings = [_settings(destinations.get(name)) for name in names] if isinstance(destinations, dict) else []
    listed = [each.get("to") for each in settings]
    texts = [text for to in listed if isinstance(to, list) for text in to if isinstance(text, str)]
    return {text for text in texts if not is_template(text)}


def _settings(destination: Json) -> JsonObject:
    found = destination.get("settings") if isinstance(destination, dict) else None
    return found if isinstance(found, dict) else {}
