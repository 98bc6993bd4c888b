"""The request that `hookchain trigger` sends: a provider's sample, signed for a source, or broken on purpose."""

import argparse
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from deploy.config.catalogue import load_catalogue
from deploy.config.catalogue_source import secret_name_of, source_block, source_name_of
from deploy.config.compiler import read_config
from deploy.config.compiling.provider import provider_part
from deploy.config.configured import Configured, configured
from deploy.config.models.provider import Handshake, ProviderEntry
from deploy.config.models.source import SourceConfig
from deploy.history.local import local_ports
from deploy.requests.breaking import Break, broken_request, broken_signer, unbreakable_reason
from deploy.requests.credentials import read_secret
from deploy.requests.generated_keys import generate_key_pair, is_asymmetric, read_private_key
from deploy.requests.posting import aim_request
from deploy.requests.samples import Fresh, Sample, handshake_sample, load_sample, sample_names
from deploy.requests.signing import BY_CERTIFICATE, Signer, sign_request
from functions.receive.admission import requested_url
from functions.receive.source import Source, read_sources
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme, verify
from shared.signatures.edits import with_header, with_text
from shared.signatures.locations import RequestFields, values_at
from shared.signatures.signature_scheme import HmacScheme

WRONG_KEY: Final = b"not the secret, so no use"


@dataclass(frozen=True, slots=True)
class TriggerTarget:
    """The source that a sample is sent to. `settings` are its compiled ones; `source` is how receive reads them."""

    provider: str
    entry: ProviderEntry
    source: Source
    settings: JsonObject
    url: str
    is_configured: bool

    def signed_url(self, request: Request) -> str:
        """Return the URL as receive reconstructs it."""
        return requested_url(request, self.source)


def trigger_target(provider: str, options: argparse.Namespace, environ: Mapping[str, str]) -> TriggerTarget:
    """Raises ValueError, ConfigFaults and DotenvFault."""
    entry = load_catalogue()[provider]
    found = configured(options)
    sources = found.slices["receive"]["sources"]
    assert isinstance(sources, dict)
    name = _source_name(provider, options, found, sources)
    settings = sources.get(name)
    is_configured = isinstance(settings, dict)
    whole = settings if isinstance(settings, dict) else ready_source(provider, entry)
    url = options.to or f"http://localhost:{local_ports(options.state, environ).receive}/{quote(name)}"
    if not urlsplit(url).path.strip("/"):
        url = f"{url.rstrip('/')}/{quote(name)}"
    [source] = read_sources({"sources": {name: whole}}).values()
    return TriggerTarget(provider, entry, source, whole, url, is_configured)


def _source_name(provider: str, options: argparse.Namespace, found: Configured, sources: Mapping[str, Json]) -> str:
    if options.source is not None:
        if options.source not in sources:
            raise ValueError(f"there is no source {options.source!r}{did_you_mean(options.source, sources)}")
        return str(options.source)
    if names := sources_of(provider, found.path, found.environ):
        return names[0]
    return source_name_of(provider)


def sources_of(provider: str, path: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Return the names of the sources with this provider."""
    document = read_config(path, environ).document
    sources = document.get("sources") if isinstance(document, dict) else None
    return [
        str(name)
        for name, settings in (sources.items() if isinstance(sources, dict) else ())
        if isinstance(settings, dict) and settings.get("provider") == provider
    ]


def ready_source(provider: str, entry: ProviderEntry) -> JsonObject:
    """Return the source that `hookchain providers NAME` prints, for a receiver that is configured elsewhere."""
    secret = secret_name_of(provider)
    asked_for = " ".join(str(handshake.reply) for handshake in entry.handshakes)
    params: dict[str, str | list[str]] = {
        name: secret
        for name, param in entry.params.items()
        if param.required or param.secret or f"param.{name}" in asked_for
    }
    proof = {"secret": secret} if entry.auth else {"auth": {"scheme": "path", "secret": secret}}
    config = SourceConfig.model_validate({"provider": provider, "params": params, **proof})
    auth: list[Json] = [each.model_dump(exclude_none=True) for each in config.auth]
    part = provider_part(config, load_catalogue())
    return {"auth": auth, "methods": ["POST"], "max_body_bytes": config.max_body_bytes, **part}


def missing_source_text(provider: str, entry: ProviderEntry) -> str:
    lines = "\n".join(f"  {line}" for line in source_block(provider, entry))
    return f"the configuration has no source for {entry.name}. Add one under `sources`:\n{lines}"


# Signing


class CannotSign(Exception):
    """Only the provider can sign the request. Its text says why."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Looks up secrets by name in `environ`, and generated private keys in the folder `state`."""

    environ: Mapping[str, str]
    state: Path

    def key(self, auth: AuthScheme) -> str:
        """Return the key of a scheme. Raises ValueError if it is missing, CannotSign if only the provider has it."""
        if auth.needs_key:
            raise CannotSign("its key belongs to the provider and is fetched from there")
        if not auth.secret:
            return ""
        if is_asymmetric(auth):
            key = read_private_key(self.state, auth.secret)
            if key is None:
                raise CannotSign(
                    f"the secret {auth.secret!r} is a public key, and only the provider has the private key"
                )
            return key
        return read_secret(auth.secret, self.environ)


def chosen_sample(target: TriggerTarget, event: str | None, keys: Keys, fresh: Fresh) -> Sample:
    """Raises ValueError."""
    names = sample_names(target.provider)
    chosen = event or next(iter(names), "")
    handshakes = {handshake.name: handshake for handshake in target.entry.handshakes}
    if chosen in names or chosen not in handshakes:
        return load_sample(target.provider, chosen, fresh)
    handshake = handshakes[chosen]
    return handshake_sample(handshake, _checks(target.settings, handshake, keys), fresh)


def _checks(settings: JsonObject, handshake: Handshake, keys: Keys) -> dict[str, str]:
    compiled = settings.get("handshakes")
    found = [one for one in compiled if isinstance(one, dict)] if isinstance(compiled, list) else []
    checks = next((one.get("check") for one in found if one["name"] == handshake.name), None)
    listed = [check for check in checks if isinstance(check, dict)] if isinstance(checks, list) else []
    return {str(check["at"]): read_secret(str(check["secret"]), keys.environ) for check in listed}


def is_unsigned(target: TriggerTarget, sample: Sample) -> bool:
    """Tell whether the sample is a handshake that the provider does not sign."""
    return any(one.name == sample.event and not one.signed for one in target.entry.handshakes)


def signed_sample(
    target: TriggerTarget,
    sample: Sample,
    keys: Keys,
    fresh: Fresh,
    what: Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request to send. Raises ValueError, CannotSign, and Temporary for a secret that is no key."""
    request = aim_request(sample.request, target.url)
    if is_unsigned(target, sample) and not any(auth.is_in_head for auth in target.source.auth):
        return request
    fault: Exception = ValueError(_missing_variant(target.source.auth, variant))
    for auth in _likeliest_first(target.source.auth, request):
        if variant in {None, auth.variant}:
            try:
                return _signed_by(auth, target.signed_url, request, keys, fresh, what)
            except (CannotSign, ValueError, HookchainError) as error:
                fault = error
    raise fault


def _missing_variant(schemes: Sequence[AuthScheme], variant: str | None) -> str:
    if variant is None:
        return "the source has no auth scheme"
    there = ", ".join(filter(None, (auth.variant for auth in schemes)))
    return f"the source has no variant {variant!r}; it has {there or 'none with a name'}"


def _likeliest_first(schemes: Sequence[AuthScheme], request: Request) -> list[AuthScheme]:
    """Return the schemes in the order to try: first those whose condition the request meets, and of these first one
    that signs each item of a body which has such items."""
    fields = RequestFields(request)
    return sorted(
        schemes,
        key=lambda auth: (
            not fields.meets(auth.when),
            not (auth.items_path and values_at(auth.items_path, fields.data)),
        ),
    )


def _signed_by(
    auth: AuthScheme, url_of: Callable[[Request], str], request: Request, keys: Keys, fresh: Fresh, what: Break | None
) -> Request:
    if what and (reason := unbreakable_reason(what, auth)):
        raise ValueError(reason)
    delivery_id = f"msg_{fresh.hex_digits}"
    if what == "signature" and auth.scheme in BY_CERTIFICATE:
        return _forged(request)
    if what == "signature" and is_asymmetric(auth):
        return sign_request(request, Signer(auth, generate_key_pair(auth).private, url_of, fresh.now, delivery_id))
    request = _with_scheme_headers(auth, request)
    signer = Signer(auth, keys.key(auth), url_of, fresh.now, delivery_id)
    right = sign_request(request, signer)
    if not is_asymmetric(auth):
        verify(right, auth, [signer.key] if signer.key else [], {}, fresh.now, url_of(right))
    if what == "signature":
        return sign_request(request, replace(signer, key=_wrong_key(signer)))
    if what == "clock":
        return sign_request(request, broken_signer(what, signer))
    return broken_request(what, auth, right)


def _with_scheme_headers(auth: AuthScheme, request: Request) -> Request:
    """Add the headers that say which of its schemes the provider uses."""
    for place, wanted in auth.when:
        if place.kind == "header" and isinstance(wanted, str):
            request = with_text(request, place, wanted)
    return request


def _wrong_key(signer: Signer) -> str:
    """Return a secret of the same shape, so that only the signature is wrong."""
    if isinstance(signer.auth, HmacScheme) and signer.auth.key == "hex":
        return WRONG_KEY.hex()
    prefix = "whsec_" if signer.key.startswith("whsec_") else ""
    return prefix + base64.b64encode(WRONG_KEY).decode()


def _forged(request: Request) -> Request:
    """Add the signature headers of PayPal and Amazon SNS, with values that nobody signed."""
    forged = {
        "paypal-transmission-id": "forged",
        "paypal-transmission-sig": "Zm9yZ2Vk",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/forged",
    }
    for name, value in forged.items():
        request = with_header(request, name, value)
    return request
