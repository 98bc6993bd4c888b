"""Sign a provider's sample, or any other request, as its sender does. On request, one part of it is wrong."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from deploy.config.sections.catalogue import Handshake
from deploy.requests import posting, send_options, sender_keys, signing, trigger_target
from deploy.requests.samples import Fresh, Sample, handshake_sample, load_sample, sample_names
from shared import errors
from shared.http import Request
from shared.jsontext import JsonObject, objects_at
from shared.signatures import auth_scheme, content_signing, jwt, locations, signature_scheme

Break: TypeAlias = Literal["signature", "clock", "body"]
"""The part of a request that is made wrong."""

WRONG_KEY: Final = b"not the secret, so no use"
"""The key of a wrong signature."""
_LATE_SECONDS: Final = 60
_CUT_OFF: Final = b'{"cut off": '


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
        if sender_keys.is_asymmetric(auth):
            key = sender_keys.read_private_key(self.state, auth.secret)
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
    """Return, by place in the handshake's request, the secret that the source expects there. Raises ValueError."""
    found = objects_at(settings, "handshakes")
    checks = next((objects_at(one, "check") for one in found if one["name"] == handshake.name), [])
    return {str(check["at"]): send_options.read_secret(str(check["secret"]), keys.environ) for check in checks}


def signed_sample(
    target: trigger_target.TriggerTarget,
    sample: Sample,
    keys: Keys,
    fresh: Fresh,
    broken_part: Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request to send. Raises ValueError, CannotSign, and Temporary for a secret that is no key.

    A handshake that its provider does not sign is left unsigned. `variant` names the auth scheme to use; None is any.
    """
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
    broken_part: Break | None = None,
    variant: str | None = None,
) -> Request:
    """Return the request, signed by the likeliest of the schemes that can sign it.

    Raises as signed_sample does, with the fault of the scheme that was tried last.
    """
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


def _signed_by(auth: auth_scheme.AuthScheme, sender: Sender, request: Request, broken_part: Break | None) -> Request:
    """Return the request, signed by this scheme. Raises as signed_sample does.

    A request that is signed with a shared secret is verified as receive does, so that none is sent that it rejects.
    """
    if broken_part and (reason := unbreakable_reason(broken_part, auth)):
        raise ValueError(reason)
    unsigned = _with_scheme_headers(auth, request)
    signer = signing.Signer(auth, "", sender.url_of, sender.now, sender.delivery_id)
    if needs_sender_key(broken_part, auth):
        signer = replace(signer, key=sender.keys.key(auth))
    if broken_part:
        return BREAKS[broken_part](unsigned, signer)
    signed = signing.sign_request(unsigned, signer)
    if not sender_keys.is_asymmetric(auth):
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


def unbreakable_reason(broken_part: Break, auth: auth_scheme.AuthScheme) -> str | None:
    """Return why this part cannot be wrong with this auth scheme; None if it can."""
    if broken_part == "signature" and auth.scheme == "none":
        return "this source needs no authentication, so none can be wrong"
    if broken_part == "clock" and not (isinstance(auth, auth_scheme.TimedScheme) and auth.signs_time):
        return "this auth scheme signs no time, so none can be wrong"
    return None


def needs_sender_key(broken_part: Break | None, auth: auth_scheme.AuthScheme) -> bool:
    """Return whether the request is made with the sender's key. A forger of certificates or key pairs has none."""
    return broken_part != "signature" or not (auth.scheme in signing.BY_CERTIFICATE or sender_keys.is_asymmetric(auth))


def with_wrong_signature(request: Request, signer: signing.Signer) -> Request:
    """Return the request with a signature by another key."""
    auth = signer.auth
    if auth.scheme in signing.BY_CERTIFICATE:
        return _with_forged_headers(request)
    wrong_key = (
        sender_keys.generate_key_pair(auth).private if sender_keys.is_asymmetric(auth) else _wrong_secret(signer)
    )
    return signing.sign_request(request, replace(signer, key=wrong_key))


def with_late_time(request: Request, signer: signing.Signer) -> Request:
    """Return the request with a right signature whose time is past the tolerance."""
    auth = signer.auth
    assert isinstance(auth, auth_scheme.TimedScheme)  # see unbreakable_reason
    late_seconds = auth.tolerance_seconds + _LATE_SECONDS
    if isinstance(auth, jwt.JwtScheme):
        late_seconds += signing.TOKEN_SECONDS
    return signing.sign_request(request, replace(signer, now=signer.now - late_seconds))


def with_broken_body(request: Request, signer: signing.Signer) -> Request:
    """Return the signed request with a part of its body. If the body is not signed, it does not parse either."""
    signed = signing.sign_request(request, signer)
    if not signer.auth.signs_content:
        return content_signing.with_header(replace(signed, body=_CUT_OFF), "content-type", "application/json")
    return replace(signed, body=signed.body[: len(signed.body) // 2])


BREAKS: Final[Mapping[Break, Callable[[Request, signing.Signer], Request]]] = {
    "signature": with_wrong_signature,
    "clock": with_late_time,
    "body": with_broken_body,
}
"""By part: the function that returns an unsigned request signed, and with this part wrong."""


def _wrong_secret(signer: signing.Signer) -> str:
    """Return a secret of the same shape, so that only the signature is wrong."""
    if isinstance(signer.auth, signature_scheme.HmacScheme) and signer.auth.key_encoding == "hex":
        return WRONG_KEY.hex()
    prefix = "whsec_" if signer.key.startswith("whsec_") else ""
    return prefix + base64.b64encode(WRONG_KEY).decode()


def _with_forged_headers(request: Request) -> Request:
    """Return the request with PayPal's signature headers, which nobody signed.

    The signature of Amazon SNS is in the body, and that of its sample is wrong already.
    """
    forged = {
        "paypal-transmission-id": "forged",
        "paypal-transmission-sig": "Zm9yZ2Vk",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/forged",
    }
    for name, value in forged.items():
        request = content_signing.with_header(request, name, value)
    return request
