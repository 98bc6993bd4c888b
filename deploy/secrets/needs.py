"""The secrets that a configuration needs: which functions read each one, and what for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.config.compiler import secrets_needed
from deploy.config.slices import destinations_of_kind
from deploy.requests.signing import is_asymmetric
from deploy.requests.sources import auth_entries, compiled_sources
from functions.notify.destinations.email import smtp_server
from functions.notify.destinations.email.transports import API_KEY
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, value_at
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.subscribers.sealing import KEY_SECRET, MIN_CHARACTERS

SMTP_PASSWORD: Final = "smtp-password"  # noqa: S105 its name
MAIL_SECRETS: Final = (API_KEY, SMTP_PASSWORD)
HOOK: Final = "hook of"
RECOVERY: Final = "recovery of"
TELEMETRY: Final = "telemetry"
_USE_BY_KEY: Final = {
    "sources": "source",
    "routes": "route",
    "destinations": "destination",
    "hooks": HOOK,
    "recover": RECOVERY,
}
"""By key of a slice: the beginning of each use, which ends with the name of the entry."""


@dataclass(frozen=True, slots=True)
class Need:
    """A needed secret.

    readers          the functions that read it
    uses             what uses it, for people: `destination crm`, `hook of shop`
    schemes          the auth schemes that use it: sources verify with it, and webhooks are signed with it
    is_made_locally  `hookchain dev` generates it
    is_optional      nothing fails if it does not exist
    is_signing_key   webhooks are signed with it, and it has no other use: their receivers take over our value
    is_credential    another system issued it: without it, deliveries to a destination are held, no hook is renewed, no
                     event recovered, or no span sent
    is_internal      nobody but our functions reads it
    least_characters the shortest length of each of its values
    """

    name: str
    readers: tuple[str, ...]
    uses: tuple[str, ...]
    schemes: tuple[AuthScheme, ...] = ()
    is_made_locally: bool = True
    is_optional: bool = False
    is_signing_key: bool = False
    is_credential: bool = False
    is_internal: bool = False
    least_characters: int = 0

    @property
    def holds_deliveries(self) -> bool:
        """Return whether deliveries are held without it. Other secrets renew webhooks, recover events or send spans."""
        return not self.uses or any(not use.startswith((HOOK, RECOVERY, TELEMETRY)) for use in self.uses)

    @property
    def can_be_random(self) -> bool:
        """Return whether a random value can serve. A key that another system issued cannot be random."""
        return self.is_made_locally and not any(map(is_asymmetric, self.schemes))

    @property
    def is_unneeded_locally(self) -> bool:
        """Return whether `hookchain dev` does not need it, because it catches mails."""
        return bool(self.readers) and not self.is_made_locally and not self.is_credential


def needs(slices: Mapping[str, JsonObject], environ: Mapping[str, str], *, has_ses: bool = False) -> list[Need]:
    """Return the secrets in alphabetical order, including those of the mail service.

    `has_ses`: SES sends the mails for which there is no other mail service.
    """
    sources = compiled_sources(slices["receive"]).values()
    schemes = [read_scheme(entry) for source in sources for entry in auth_entries(source)]
    signing = list(_signing_schemes(slices["notify"]))
    needed_by = {function: secrets_needed({function: slices[function]}) for function in slices}
    uses: dict[str, list[str]] = {}
    for slice_ in slices.values():
        for name, use in _uses(slice_):
            uses.setdefault(name, []).append(use)
    all_needs = []
    for name in secrets_needed(slices):
        readers = tuple(function for function in slices if name in needed_by[function])
        is_signing = any(scheme.secret == name for scheme in signing)
        is_internal = name == KEY_SECRET and "subscribe" in readers
        # What only notify reads was issued by the system that it calls, unless it signs with it.
        is_credential = "notify" in readers and "receive" not in readers and not is_signing and not is_internal
        all_needs.append(
            Need(
                name,
                readers,
                uses=tuple(dict.fromkeys(uses.get(name, ()))),
                schemes=tuple(scheme for scheme in (*schemes, *signing) if scheme.secret == name),
                is_made_locally=not is_credential,
                is_signing_key=is_signing and readers == ("notify",),
                is_credential=is_credential,
                is_internal=is_internal,
                least_characters=MIN_CHARACTERS if is_internal else 0,
            )
        )
    names = {need.name for need in all_needs}
    all_needs += [need for need in _mail_needs(slices, environ, has_ses) if need.name not in names]
    return sorted(all_needs, key=lambda need: need.name)


def token_needs(document: Json) -> list[Need]:
    """Return the needs for the tokens that `hookchain hooks` sends to the providers' APIs. No function reads them.

    `document` is the configuration as it is written.
    """
    uses_by_token: dict[str, list[str]] = {}
    for name, source in mapping_at(document, "sources").items():
        token = value_at(source, "hook", "token")
        if isinstance(token, str):
            uses_by_token.setdefault(token, []).append(f"{HOOK} {name}")
    return [
        Need(name, (), tuple(uses), is_made_locally=False, is_optional=True) for name, uses in uses_by_token.items()
    ]


def token_names(document: Json) -> list[str]:
    """Return the names of the secrets that `token_needs` returns."""
    return [need.name for need in token_needs(document)]


def missing_effect(credentials: Sequence[Need]) -> str:
    """Return the effects of these secrets as long as they are missing, joined to one sentence."""
    uses = dict.fromkeys(use for need in credentials for use in need.uses)
    held = [use for use in uses if not use.startswith((HOOK, RECOVERY, TELEMETRY))]
    hooks = [use for use in uses if use.startswith(HOOK)]
    sources = [use.removeprefix(f"{RECOVERY} ") for use in uses if use.startswith(RECOVERY)]
    effects = [f"deliveries to {', '.join(held)} are held"] if held else []
    effects += [f"nobody renews the {', '.join(hooks)}"] if hooks else []
    effects += [f"lost events of {', '.join(sources)} are not recovered"] if sources else []
    effects += ["no spans are sent"] if TELEMETRY in uses else []
    return ", and ".join(effects)


def _signing_schemes(notify: JsonObject) -> Iterator[AuthScheme]:
    """Yield the schemes by which webhooks are signed."""
    for settings in destinations_of_kind(notify, "webhook").values():
        if settings.get("secret"):
            yield read_scheme({"scheme": "standard-webhooks", "secret": settings["secret"]})
        if isinstance(signature := settings.get("signature"), dict):
            yield read_scheme({name: value for name, value in signature.items() if value is not None})


def _uses(document: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the name of each secret in a slice, and what uses it."""
    for key, use in (("people", "the list of people"), ("subscribers", "subscribers"), (TELEMETRY, TELEMETRY)):
        yield from ((name, use) for name in secrets_needed({"": document.get(key)}))
    for key, use in _USE_BY_KEY.items():
        # Routes are a list whose entries have a name. The others are mappings by name.
        named_entries = [(str(entry.get("name")), entry) for entry in objects_at(document, key)]
        for entry_name, entry in (*mapping_at(document, key).items(), *named_entries):
            yield from ((name, f"{use} {entry_name}") for name in secrets_needed({"": entry}))


def _mail_needs(slices: Mapping[str, JsonObject], environ: Mapping[str, str], has_ses: bool) -> Iterator[Need]:
    """Yield SendGrid's key, unless mails go by SMTP, and SMTP's password, if the URL has a user."""
    transports = set(mail_transports(slices["notify"]).values())
    smtp_url = environ.get("SMTP_URL")
    if "sendgrid" in transports or ("auto" in transports and not smtp_url):
        is_optional = has_ses and "sendgrid" not in transports
        yield Need(API_KEY, ("notify",), ("mail by SendGrid",), is_made_locally=False, is_optional=is_optional)
    if smtp_url and transports & {"auto", "smtp"} and _has_user(smtp_url):
        yield Need(SMTP_PASSWORD, ("notify",), ("mail by SMTP",), is_made_locally=False)


def mail_transports(notify: JsonObject) -> dict[str, str]:
    """Return the mail service of each mail destination, by name: `auto`, `sendgrid`, `smtp` or `ses`."""
    mails = destinations_of_kind(notify, "email").items()
    return {name: str(settings.get("via", "auto")) for name, settings in mails}


def _has_user(url: str) -> bool:
    try:
        return smtp_server.parse_smtp_url(url).user is not None
    except smtp_server.SmtpUrlFault:
        return False
