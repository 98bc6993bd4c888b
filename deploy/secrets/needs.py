"""The secrets that a configuration needs: which functions read each one, and what for.

A compiled configuration has one slice for each function: the JSON with the part of the configuration that this
function needs. A slice names secrets, never their values. For example, this is part of notify's slice:

    {"destinations": {"crm": {"kind": "webhook", "settings": {"url": "https://crm.example.com", "secret": "crm-key"}}}}

So `needs` returns for `crm-key`: notify reads it, its use is `destination crm`, and we choose its value.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from deploy.config.notify_destinations import destinations_of_kind
from deploy.requests.sender_keys import is_asymmetric
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
    "chain",
    "destination",
    "hook",
    "recovery",
    "people",
    "subscribers",
    "telemetry",
    "sendgrid",
    "smtp",
]
_USE_TEXTS: Final[Mapping[UseKind, str]] = {
    "source": "source {name}",
    "route": "route {name}",
    "chain": "chain {name}",
    "destination": "destination {name}",
    "hook": "hook of {name}",
    "recovery": "recovery of {name}",
    "people": "the list of people",
    "subscribers": "subscribers",
    "telemetry": "telemetry",
    "sendgrid": "mail by SendGrid",
    "smtp": "mail by SMTP",
}
_WHOLE_SECTIONS: Final[tuple[UseKind, ...]] = ("people", "subscribers", "telemetry")
"""The sections of a slice that are one use. Such a section has the name of its use."""
_SECTIONS_WITH_ENTRIES: Final[Mapping[str, UseKind]] = {
    "sources": "source",
    "routes": "route",
    "chains": "chain",
    "destinations": "destination",
    "hooks": "hook",
    "recover": "recovery",
}
"""By section of a slice: the use that each of its named entries is."""
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
    """One use of a secret. `name` is the source, route or destination; empty for a kind that is a whole section."""

    kind: UseKind
    name: str = ""

    def __str__(self) -> str:
        """Return the use for people, such as `destination crm` or `hook of shop`."""
        return _USE_TEXTS[self.kind].format(name=self.name)

    @property
    def holds_deliveries(self) -> bool:
        """Return whether deliveries are held while the secret is missing."""
        return self.kind not in {"hook", "recovery", "telemetry"}


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
        return any(use.holds_deliveries for use in self.uses)

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
    verifying = [
        read_scheme(entry) for source in compiled_sources(slices["receive"]).values() for entry in auth_entries(source)
    ]
    signing = list(_signing_schemes(slices["notify"]))
    secrets_by_function = {function: set(secret_names(slice_)) for function, slice_ in slices.items()}
    uses_by_secret = _uses_by_secret(slices)
    needs_by_name: dict[str, Need] = {}
    for name in {name for names in secrets_by_function.values() for name in names}:
        readers = tuple(function for function, names in secrets_by_function.items() if name in names)
        is_signing = any(scheme.secret == name for scheme in signing)
        needs_by_name[name] = Need(
            name,
            _origin(name, readers, is_signing=is_signing),
            readers=readers,
            uses=tuple(uses_by_secret.get(name, ())),
            schemes=tuple(scheme for scheme in (*verifying, *signing) if scheme.secret == name),
            is_signing_key=is_signing and readers == ("notify",),
        )
    for need in _mail_needs(slices, environ, has_ses=has_ses):
        # The configuration may name the same secret, for example for a source. Its need then stays: it is required.
        needs_by_name.setdefault(need.name, need)
    return sorted(needs_by_name.values(), key=lambda need: need.name)


def _origin(name: str, readers: Collection[str], *, is_signing: bool) -> Origin:
    if name == KEY_SECRET and "subscribe" in readers:
        return "internal"
    if "notify" not in readers or "receive" in readers:
        return "chosen"  # receive verifies a sender's requests with it, or only a step of a route uses it
    if is_signing:
        return "chosen"  # receivers verify our webhooks with it
    return "issued"  # notify presents it to the system that issued it


def token_needs(document: Json) -> list[Need]:
    """Return the needs for the tokens that `hookchain hooks` sends to the providers' APIs. No function reads them.

    `document` is the configuration as it is written.
    """
    uses_by_token: dict[str, list[Use]] = {}
    for name, source in mapping_at(document, "sources").items():
        token = value_at(source, "hook", "token")
        if isinstance(token, str):
            uses_by_token.setdefault(token, []).append(Use("hook", name))
    return [Need(name, "hook token", uses=tuple(uses), is_optional=True) for name, uses in uses_by_token.items()]


def token_names(document: Json) -> list[str]:
    """Return the names of the secrets that `token_needs` returns."""
    return [need.name for need in token_needs(document)]


def missing_effect(credentials: Sequence[Need]) -> str:
    """Return the effects of these secrets as long as they are missing, joined to one sentence."""
    uses = dict.fromkeys(use for need in credentials for use in need.uses)
    held = [str(use) for use in uses if use.holds_deliveries]
    hooks = [str(use) for use in uses if use.kind == "hook"]
    sources = [use.name for use in uses if use.kind == "recovery"]
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


def _uses_by_secret(slices: Mapping[str, JsonObject]) -> dict[str, list[Use]]:
    """Return the uses of each secret in the slices, by the secret's name. No use appears twice."""
    uses_by_secret: dict[str, list[Use]] = {}
    for slice_ in slices.values():
        for use, settings in _uses_in(slice_):
            for secret in secret_names(settings):
                uses = uses_by_secret.setdefault(secret, [])
                if use not in uses:
                    uses.append(use)
    return uses_by_secret


def _uses_in(slice_: JsonObject) -> Iterator[tuple[Use, Json]]:
    """Yield each part of a slice that may name secrets, as the use that it is."""
    for section in _WHOLE_SECTIONS:
        yield Use(section), slice_.get(section)
    for key, kind in _SECTIONS_WITH_ENTRIES.items():
        for name, entry in mapping_at(slice_, key).items():
            yield Use(kind, name), entry
        for entry in objects_at(slice_, key):  # the routes are a list, whose entries have a name
            yield Use(kind, str(entry.get("name"))), entry


def _mail_needs(slices: Mapping[str, JsonObject], environ: Mapping[str, str], *, has_ses: bool) -> Iterator[Need]:
    """Yield SendGrid's key, if mails can go by SendGrid, and SMTP's password, if they can go by SMTP with a user.

    A mail destination that names no service (`auto`) uses SMTP if there is an SMTP_URL, and otherwise SendGrid. On a
    platform with SES, it can also use SES, so SendGrid's key is optional.
    """
    transports = set(mail_transports(slices["notify"]).values())
    smtp_url = environ.get("SMTP_URL")
    if "sendgrid" in transports or ("auto" in transports and not smtp_url):
        is_optional = has_ses and "sendgrid" not in transports
        uses = (Use("sendgrid"),)
        yield Need(API_KEY, "mail service", readers=("notify",), uses=uses, is_optional=is_optional)
    if smtp_url and transports & {"auto", "smtp"} and _has_user(smtp_url):
        yield Need(SMTP_PASSWORD, "mail service", readers=("notify",), uses=(Use("smtp"),))


def mail_transports(notify: JsonObject) -> dict[str, str]:
    """Return the mail service of each mail destination, by name: `auto`, `sendgrid`, `smtp` or `ses`."""
    mails = destinations_of_kind(notify, "email").items()
    return {name: str(settings.get("via", "auto")) for name, settings in mails}


def _has_user(url: str) -> bool:
    try:
        return smtp_server.parse_smtp_url(url).user is not None
    except smtp_server.SmtpUrlFault:
        return False
