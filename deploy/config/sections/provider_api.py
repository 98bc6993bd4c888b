"""The settings `hook` and `recover` of a source: what Hookchain does through the API of the source's provider.

`hookchain hooks` registers the webhook that calls the source, and `notify` renews it before it expires. `notify` also
asks the API for events that the provider could not deliver. Each setting has its model, its faults and its part of
notify's slice here.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import Field

from deploy.config.sections.catalogue import ProviderEntry, Texts, load_catalogue
from deploy.config.sections.provider_settings import ProviderSettings
from deploy.config.sections.texts import fitting
from deploy.hooks import kinds as hook_kinds
from deploy.hooks.kind import HookKind
from functions.notify.recovery import kinds as recovery_kinds
from shared.config.rules import SecretName
from shared.config.values import Model
from shared.jsontext import Json, JsonObject

ApiUrl = Annotated[
    str,
    fitting(
        r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?",
        "the beginning of the API's URLs, such as https://github.example.com/api/v3",
    ),
]


class HookConfig(Model):
    """The webhook that `hookchain hooks` registers at the provider.

    token          the name of the secret with the API token, or with the private key of a GitHub App; commands read it,
                   and only `renew` deploys it
    at             the place of the hook, or several: a repository such as `acme/shop`, as the provider has them
    api            the beginning of the API's URLs, for a provider that you host yourself
    allow_private  the API may have an address that is not public, and plain http
    renew          `notify` renews a hook that expires, for which the token is deployed
    """

    token: SecretName
    at: Texts = Field(default=[])
    api: ApiUrl | None = None
    allow_private: bool = False
    renew: bool = False

    @property
    def places(self) -> list[str]:
        """Return each place once; an empty text for the only one of an account."""
        return [*dict.fromkeys(self.at)] or [""]


class RecoverConfig(Model):
    """The recovery of events that the provider could not deliver.

    secret         the name of the secret with the API token, which is deployed for `notify`
    repositories   at GitHub: the repositories or organizations whose webhooks call the source, such as `acme/shop`
    at             at Airtable and GitLab: the places of the webhooks that call the source, as in `hook`
    redeliver      have the provider deliver the events again, for which the token needs the right to write
    api            the beginning of the API's URLs, for a provider that you host yourself
    allow_private  the API may have an address that is not public, and plain http
    """

    secret: SecretName
    repositories: Texts = Field(default=[])
    at: Texts = Field(default=[])
    redeliver: bool = False
    api: ApiUrl | None = None
    allow_private: bool = False

    @property
    def places(self) -> dict[str, list[str]]:
        """Return where the webhooks are, by the setting that says so."""
        return {"repositories": self.repositories, "at": self.at}


class ProviderApiSettings(ProviderSettings):
    """The settings that a source takes from the catalogue, and those for the provider's API.

    hook        how `hookchain hooks` registers its webhook
    recover     how the sweep finds the events that the provider could not deliver
    """

    hook: HookConfig | None = None
    recover: RecoverConfig | None = None


# Faults


def hook_rules(source: ProviderApiSettings, entry: ProviderEntry) -> Iterator[str]:
    """Yield the rules that the source's `hook` breaks. `entry` is the provider's."""
    if source.hook is None:
        return
    if source.provider is None or source.provider not in hook_kinds.KINDS:
        known = ", ".join(sorted(load_catalogue()[key].name for key in hook_kinds.KINDS))
        yield f"Hookchain registers no hooks at {entry.name}, only at {known}. `hookchain sources` shows how to"
        return
    kind = hook_kinds.kind_at(source.provider, source.hook.places)
    if not source.uses_provider_auth or source.secret is None:
        yield "needs the provider's own auth scheme and its `secret`, without `auth`"
    elif kind.variant and source.variant not in (None, kind.variant):
        yield f"uses the variant {kind.variant!r} of {entry.name}, and the source has {source.variant!r}"
    elif source.hook.token == source.secret:
        yield _same_secret_rule("token", source.hook.token)
    elif kind.places and not source.hook.at:
        yield f"at is missing: where the hook is, such as {kind.examples}"
    elif source.hook.renew and not kind.expiry_field:
        yield f"renew has no effect, because the webhooks of {entry.name} do not expire. Remove it"
    else:
        for each in source.hook.at:
            if kind.path_of(each) is None:
                rule = f"must be such as {kind.examples}" if kind.places else f"{entry.name} has one place only"
                yield f"at: {rule}; got {each!r}"


def _same_secret_rule(key: str, name: str) -> str:
    return f"{key} {name!r} is also the source's `secret`, which signs events. Store the API token under another name"


_CHANGE_IDS: Final = ("auth", "id", "batch")
"""The settings by which a recovered event would have another id than its original."""
_CHANGE_BODIES: Final = ("body", "unwrap", "unpack")
"""The settings by which the id in the body that the API lists would not be read."""


def recover_rules(source: ProviderApiSettings, entry: ProviderEntry) -> Iterator[str]:
    """Yield the rules that the source's `recover` breaks. `entry` is the provider's."""
    if source.recover is None:
        return
    kind = recovery_kinds.KINDS.get(str(source.provider))
    if kind is None:
        *others, last = sorted(each.title for each in recovery_kinds.KINDS.values())
        yield f"Hookchain recovers no events of {entry.name}, only of {', '.join(others)} and {last}"
        return
    excluded = _CHANGE_IDS + _CHANGE_BODIES if kind.authentication == "listed" else _CHANGE_IDS
    conflicting = [key for key in excluded if key in source.model_fields_set]
    if conflicting:
        rule = "a recovered event must have the id of its original, which is the provider's own"
        yield f"cannot be used together with `{conflicting[0]}`: {rule}"
    elif source.recover.secret == source.secret:
        yield _same_secret_rule("secret", source.recover.secret)
    elif unexpected := [key for key, places in source.recover.places.items() if places and key != kind.places_key]:
        yield f"{unexpected[0]} has no meaning for {entry.name}; take it out"
    elif source.recover.redeliver and not kind.write_rights:
        yield f"redeliver: {entry.name} cannot deliver an event again. Remove it"
    elif kind.places_key:
        yield from _recover_place_rules(source.recover, kind.places_key, hook_kinds.KINDS[str(source.provider)])


def _recover_place_rules(recover: RecoverConfig, key: str, kind: HookKind) -> Iterator[str]:
    places = recover.places[key]
    if not places:
        yield f"{key} is missing: such as {kind.examples}"
    for each in places:
        if kind.path_of(each) is None:
            yield f"{key}: must be such as {kind.examples}; got {each!r}"


# Compiling


def compiled_hooks(sources: Mapping[str, ProviderApiSettings], *, has_alerts: bool) -> JsonObject:
    """Return the part of notify's slice: the sources whose webhooks expire, and how to renew those with `renew`."""
    found: JsonObject = {}
    for name, source in sources.items():
        kind = hook_kinds.KINDS.get(str(source.provider)) if source.hook else None
        if source.hook and kind and kind.expiry_field and (source.hook.renew or has_alerts):
            found[name] = _compiled_renewal(source.hook, kind) if source.hook.renew else {}
    return {"hooks": found} if found else {}


def _compiled_renewal(hook: HookConfig, kind: HookKind) -> JsonObject:
    method, _, path = kind.operations["extend"].partition(" ")
    base = (hook.api or kind.api_url).rstrip("/")
    urls: JsonObject = {at: base + path.format(at=kind.path_of(at), id="{id}") for at in hook.places}
    return {
        "secret": hook.token,
        "method": method,
        "urls": urls,
        "headers": dict(kind.headers),
        "expiry": kind.expiry_field,
        "allow_private": hook.allow_private,
    }


def compiled_recover(
    sources: Mapping[str, ProviderApiSettings], routed_types: Mapping[str, list[str]], public_urls: Mapping[str, str]
) -> JsonObject:
    """Return the part of notify's slice: where it finds what providers could not deliver.

    `routed_types` are the types that the routes of each source take; none if they take all. A source without routes is
    not in it.
    """
    compiled: JsonObject = {}
    for name, source in sources.items():
        recover = source.recover
        if recover is None or name not in routed_types:
            continue
        written = [each for places in recover.places.values() for each in places]
        hook_kind = hook_kinds.KINDS.get(str(source.provider))  # only a kind with places needs it
        places: list[Json] = [hook_kind.path_of(each) for each in written] if hook_kind else []
        settings: JsonObject = {
            "provider": source.provider,
            "secret": recover.secret,
            "places": places,
            "url": public_urls.get(name),
            "types": list[Json](routed_types[name]),
            "api": recover.api,
            "allow_private": recover.allow_private,
            "redeliver": recover.redeliver,
        }
        compiled[name] = {key: value for key, value in settings.items() if value}
    return {"recover": compiled} if compiled else {}
