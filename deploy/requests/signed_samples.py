"""Sign a provider's sample, or any other request, as its sender does. On request, one part of it is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.config.sections.catalogue import Handshake
from deploy.requests import breaking, posting, send_options, signing, trigger_target
from deploy.requests.samples import Fresh, Sample, handshake_sample, load_sample, sample_names
from shared import errors
from shared.http import Request
from shared.jsontext import JsonObject, objects_at
from shared.signatures import auth_scheme, content_signing, locations


class CannotSign(Exception):
    """An error: only the provider can sign the request. Its text has the reason.

    `needs_key_pair`: a key pair that is generated here could sign in the provider's place.
    """

    def __init__(self, reason: str, *, needs_key_pair: bool = False) -> None:
        super().__init__(reason)
        self.needs_key_pair = needs_key_pair


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys to sign with: secrets in `environ`, and generated private keys in the folder `state`."""

    environ: Mapping[str, str]
    state: Path

    def key(self, auth: auth_scheme.AuthScheme) -> str:
        """Return the key of a scheme. Raises ValueError if it is missing, CannotSign if only the provider has it."""
        if auth.needs_key:
            raise CannotSign("its key belongs to the provider and is fetched from there")
        if not auth.secret:
            return ""
        if signing.is_asymmetric(auth):
            key = signing.read_private_key(self.state, auth.secret)
            if key is None:
                whose = "only the provider has the private key"
                raise CannotSign(f"the secret {auth.secret!r} is a public key, and {whose}", needs_key_pair=True)
            return key
        return send_options.read_secret(auth.secret, self.environ)


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender in whose place requests are signed.

    url_of       returns the URL that the receiver takes a request to have been sent to
    now          Unix seconds
    delivery_id  its id of the event
    """

    keys: Keys
    url_of: Callable[[Request], str]
    now: float
    delivery_id: str


def chosen_sample(target: trigger_target.TriggerTarget, event: str | None, keys: Keys, fresh: Fresh) -> Sample:
    """Return the sample of that event or handshake, or the provider's first one. Raises ValueError."""
    names = sample_names(target.provider)
    chosen = event or next(iter(names), "")
    handshakes = {handshake.name: handshake for handshake in target.entry.handshakes}
    if chosen in names or chosen not in handshakes:
        return load_sample(target.provider, chosen, fresh)
    handshake = handshakes[chosen]
    return handshake_sample(handshake, _checks(target.settings, handshake, keys), fresh)


def _checks(settings: JsonObject, handshake: Handshake, keys: Keys) -> dict[str, str]:
    found = objects_at(settings, "handshakes")
    checks = next((objects_at(one, "check") for one in found if one["name"] == handshake.name), [])
    return {str(check["at"]): send_options.read_secret(str(check["secret"]), keys.environ) for check in checks}


def signed_sample(
    target: trigger_target.TriggerTarget,
    sample: Sample,
    keys: Keys,
    fresh: Fresh,
    broken_part: breaking.Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request to send. Raises ValueError, CannotSign, and Temporary for a secret that is no key."""
    request = posting.aim_request(sample.request, target.url)
    is_unsigned = any(one.name == sample.event and not one.signed for one in target.entry.handshakes)
    if is_unsigned and not any(auth.is_in_head for auth in target.source.auth):
        return request
    sender = Sender(keys, target.signed_url, fresh.now, f"msg_{fresh.hex_digits}")
    return signed_request(request, target.source.auth, sender, broken_part, variant)


def signed_request(
    request: Request,
    schemes: Sequence[auth_scheme.AuthScheme],
    sender: Sender,
    broken_part: breaking.Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request, signed by the likeliest of the schemes that can sign it. Raises as signed_sample does."""
    fault: Exception = ValueError(_missing_variant(schemes, variant))
    for auth in _likeliest_first(schemes, request):
        if variant in {None, auth.variant}:
            try:
                return _signed_by(auth, sender, request, broken_part)
            except (CannotSign, ValueError, errors.HookchainError) as error:
                fault = error
    raise fault


def _missing_variant(schemes: Sequence[auth_scheme.AuthScheme], variant: str | None) -> str:
    if variant is None:
        return "the source has no auth scheme"
    variants = ", ".join(filter(None, (auth.variant for auth in schemes)))
    return f"the source has no variant {variant!r}; it has {variants or 'none with a name'}"


def _likeliest_first(schemes: Sequence[auth_scheme.AuthScheme], request: Request) -> list[auth_scheme.AuthScheme]:
    """Return the schemes in the order to try: first those whose condition the request meets, and of these first one
    that signs each item of a body which has such items."""
    fields = locations.RequestFields(request)
    return sorted(
        schemes,
        key=lambda auth: (
            not fields.meets(auth.when),
            not (auth.items_path and locations.values_at(auth.items_path, fields.data)),
        ),
    )


def _signed_by(
    auth: auth_scheme.AuthScheme, sender: Sender, request: Request, broken_part: breaking.Break | None
) -> Request:
    """Return the request, signed by this scheme. Raises as signed_sample does."""
    if broken_part and (reason := breaking.unbreakable_reason(broken_part, auth)):
        raise ValueError(reason)
    unsigned = _with_scheme_headers(auth, request)
    signer = signing.Signer(auth, "", sender.url_of, sender.now, sender.delivery_id)
    if breaking.needs_sender_key(broken_part, auth):
        signer = replace(signer, key=sender.keys.key(auth))
    if broken_part:
        return breaking.BREAKS[broken_part](unsigned, signer)
    signed = signing.sign_request(unsigned, signer)
    if not signing.is_asymmetric(auth):
        auth_scheme.verify_request(
            signed, auth, [signer.key] if signer.key else [], {}, signer.now, signer.url_of(signed)
        )
    return signed


def _with_scheme_headers(auth: auth_scheme.AuthScheme, request: Request) -> Request:
    """Add the headers that say which of its schemes the provider uses."""
    for place, wanted in auth.when:
        if place.kind == "header" and isinstance(wanted, str):
            request = content_signing.with_text(request, place, wanted)
    return request
