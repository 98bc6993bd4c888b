"""The secrets that a configuration needs: which functions read each one, and what for."""

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from deploy.config.compiler import secrets_needed
from deploy.config.notify_destinations import destinations_of_kind
from deploy.requests.signing import is_asymmetric
from deploy.requests.sources import auth_entries, compiled_sources
from functions.notify.destinations.email import smtp_server
from functions.notify.destinations.email.transports import API_KEY
from shared.jsontext import Json, JsonObject, mapping_at, objects_at, value_at
from shared.secrets import secret_names
from shared.signatures.auth_scheme import AuthScheme, read_scheme
from shared.subscribers.sealing import KEY_SECRET, MIN_CHARACTERS

SMTP_PASSWORD: Final = "smtp-password"  # noqa: S105 its name
MAIL_SECRETS: Final = (API_KEY, SMTP_PASSWORD)
UseKind: TypeAlias = Literal[
    "source",
    "route",
    "destination",
    "hook of",
    "recovery of",
    "the list of people",
    "subscribers",
    "telemetry",
    "mail by SendGrid",
    "mail by SMTP",
]
_KINDS_OF_SECTIONS: Final[Mapping[str, UseKind]] = {
    "people": "the list of people",
    "subscribers": "subscribers",
    "telemetry": "telemetry",
}
"""By key of a slice that holds one setting: what its secrets are for."""
_KINDS_OF_ENTRIES: Final[Mapping[str, UseKind]] = {
    "sources": "source",
    "routes": "route",
    "destinations": "destination",
    "hooks": "hook of",
    "recover": "recovery of",
}
"""By key of a slice that holds entries with names: what the secrets of an entry are for."""
_WITHOUT_DELIVERIES: Final[Set[UseKind]] = {"hook of", "recovery of", "telemetry"}
"""The uses of a credential that hold no delivery if it is missing."""
Origin: TypeAlias = Literal["chosen", "internal", "issued", "mail service", "hook token"]
"""Who makes the values of a secret:

chosen        we, and a sender or a receiver takes them over. `hookchain dev` generates one
internal      we, and nobody but our functions reads them. `hookchain dev` generates one
issued        another system that we call. Without it, deliveries to a destination are held, no hook is renewed, no
              event is recovered, or no span is sent
mail service  the service that sends our mails. `hookchain dev` needs none, because it catches mails
hook token    the provider whose API `hookchain hooks` calls. No function reads it
"""


class Use(NamedTuple):
    """One use of a secret. `name` is that of the source, route or destination; empty if the kind has one use alone."""

    kind: UseKind
    name: str = ""

    def __str__(self) -> str:
        """Return the use for people, such as `destination crm` or `hook of shop`."""
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class Need:
    """A needed secret.

    readers         the functions that read it
    schemes         the auth schemes that use it: sources verify with it, and webhooks are signed with it
    is_optional     nothing fails if it does not exist
    is_signing_key  webhooks are signed with it, and it has no other use: their receivers take over our value
    """

    name: str
    origin: Origin
    readers: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()
    schemes: tuple[AuthScheme, ...] = ()
    is_optional: bool = False
    is_signing_key: bool = False

    @property
    def uses_text(self) -> str:
        """Return the uses for people, with commas; empty if there are none."""
        return ", ".join(map(str, self.uses))

    @property
    def holds_deliveries(self) -> bool:
        """Return whether deliveries are held without it. Other secrets renew webhooks, recover events or send spans."""
        return not self.uses or any(use.kind not in _WITHOUT_DELIVERIES for use in self.uses)

    @property
    def can_be_random(self) -> bool:
        """Return whether a random value can serve: one that we make, and that is no part of a key pair."""
        return self.origin in ("chosen", "internal") and not any(map(is_asymmetric, self.schemes))

    @property
    def least_characters(self) -> int:
        """Return the shortest length of each of its values."""
        return MIN_CHARACTERS if self.origin == "internal" else 0


def needs(slices: Mapping[str, JsonObject], environ: Mapping[str, str], *, has_ses: bool = False) -> list[Need]:
    """Return the secrets in alphabetical order, including those of the mail service.

    `has_ses`: SES sends the mails for which there is no other mail service.
    """
    sources = compiled_sources(slices["receive"]).values()
    schemes = [read_scheme(entry) for source in sources for entry in auth_entries(source)]
    signing = list(_signing_schemes(slices["notify"]))
    needed_by = {function: secrets_needed({function: slices[function]}) for function in slices}
    uses: dict[str, list[Use]] = {}
    for slice_ in slices.values():
        for name, use in _uses(slice_):
            uses.setdefault(name, []).append(use)
    all_needs = []
    for name in secrets_needed(slices):
        readers = tuple(function for function in slices if name in needed_by[function])
        is_signing = any(scheme.secret == name for scheme in signing)
        all_needs.append(
            Need(
                name,
                _origin(name, readers, is_signing),
                readers=readers,
                uses=tuple(dict.fromkeys(uses.get(name, ()))),
                schemes=tuple(scheme for scheme in (*schemes, *signing) if scheme.secret == name),
                is_signing_key=is_signing and readers == ("notify",),
            )
        )
    names = {need.name for need in all_needs}
    all_needs += [need for need in _mail_needs(slices, environ, has_ses) if need.name not in names]
    return sorted(all_needs, key=lambda need: need.name)


def _origin(name: str, readers: Collection[str], is_signing: bool) -> Origin:
    if name == KEY_SECRET and "subscribe" in readers:
        return "internal"
    # What notify reads, and receive does not, was issued by the system that notify calls, unless notify signs with it.
    if "notify" in readers and "receive" not in readers and not is_signing:
        return "issued"
    return "chosen"


def token_needs(document: Json) -> list[Need]:
    """Return the needs for the tokens that `hookchain hooks` sends to the providers' APIs. No function reads them.

    `document` is the configuration as it is written.
    """
    uses_by_token: dict[str, list[Use]] = {}
    for name, source in mapping_at(document, "sources").items():
        token = value_at(source, "hook", "token")
        if isinstance(token, str):
            uses_by_token.setdefault(token, []).append(Use("hook of", name))
    return [Need(name, "hook token", uses=tuple(uses), is_optional=True) for name, uses in uses_by_token.items()]


def token_names(document: Json) -> list[str]:
    """Return the names of the secrets that `token_needs` returns."""
    return [need.name for need in token_needs(document)]


def missing_effect(credentials: Sequence[Need]) -> str:
    """Return the effects of these secrets as long as they are missing, joined to one sentence."""
    uses = dict.fromkeys(use for need in credentials for use in need.uses)
    held = [str(use) for use in uses if use.kind not in _WITHOUT_DELIVERIES]
    hooks = [str(use) for use in uses if use.kind == "hook of"]
    sources = [use.name for use in uses if use.kind == "recovery of"]
    effects = [f"deliveries to {', '.join(held)} are held"] if held else []
    effects += [f"nobody renews the {', '.join(hooks)}"] if hooks else []
    effects += [f"lost events of {', '.join(sources)} are not recovered"] if sources else []
    effects += ["no spans are sent"] if Use("telemetry") in uses else []
    return ", and ".join(effects)


def _signing_schemes(notify: JsonObject) -> Iterator[AuthScheme]:
    """Yield the schemes by which webhooks are signed."""
    for settings in destinations_of_kind(notify, "webhook").values():
        if settings.get("secret"):
            yield read_scheme({"scheme": "standard-webhooks", "secret": settings["secret"]})
        if isinstance(signature := settings.get("signature"), dict):
            yield read_scheme({name: value for name, value in signature.items() if value is not None})


def _uses(document: JsonObject) -> Iterator[tuple[str, Use]]:
    """Yield the name of each secret in a slice, and what uses it."""
    for key, kind in _KINDS_OF_SECTIONS.items():
        yield from ((name, Use(kind)) for name in secret_names(document.get(key)))
    for key, kind in _KINDS_OF_ENTRIES.items():
        # Routes are a list whose entries have a name. The others are mappings by name.
        named_entries = [(str(entry.get("name")), entry) for entry in objects_at(document, key)]
        for entry_name, entry in (*mapping_at(document, key).items(), *named_entries):
            yield from ((name, Use(kind, entry_name)) for name in secret_names(entry))


def _mail_needs(slices: Mapping[str, JsonObject], environ: Mapping[str, str], has_ses: bool) -> Iterator[Need]:
    """Yield SendGrid's key, unless mails go by SMTP, and SMTP's password, if the URL has a user."""
    transports = set(mail_transports(slices["notify"]).values())
    smtp_url = environ.get("SMTP_URL")
    if "sendgrid" in transports or ("auto" in transports and not smtp_url):
        is_optional = has_ses and "sendgrid" not in transports
        uses = (Use("mail by SendGrid"),)
        yield Need(API_KEY, "mail service", readers=("notify",), uses=uses, is_optional=is_optional)
    if smtp_url and transports & {"auto", "smtp"} and _has_user(smtp_url):
        yield Need(SMTP_PASSWORD, "mail service", readers=("notify",), uses=(Use("mail by SMTP"),))


def mail_transports(notify: JsonObject) -> dict[str, str]:
    """Return the mail service of each mail destination, by name: `auto`, `sendgrid`, `smtp` or `ses`."""
    mails = destinations_of_kind(notify, "email").items()
    return {name: str(settings.get("via", "auto")) for name, settings in mails}


def _has_user(url: str) -> bool:
    try:
        return smtp_server.parse_smtp_url(url).user is not None
    except smtp_server.SmtpUrlFault:
        return False
