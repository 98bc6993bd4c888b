"""The request that is sent: a sample, aimed at a source, signed as its provider would, or broken on purpose."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.cli.trigger_aim import Aim
from deploy.config.models.provider import Handshake
from deploy.requests.breaking import Break, broken_request, broken_signer, why_not
from deploy.requests.edits import with_header, with_text
from deploy.requests.handshake_sample import handshake_sample
from deploy.requests.private_keys import kept_key, make_pair
from deploy.requests.samples import Fresh, Sample, events_of, load_sample
from deploy.requests.send_secret import secret_named
from deploy.requests.signing import BY_CERTIFICATE, Signer, is_asymmetric, signed
from deploy.requests.wire import parse_target
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import JsonObject
from shared.signatures.layouts import is_signed
from shared.signatures.reading import Reading
from shared.signatures.verify import verify, way_holds
from shared.signatures.way import IN_HEAD, Way

WRONG_KEY: Final = b"not the secret, so no use"


class CannotSign(Exception):
    """Only the provider can; its text says how a request of its kind was proven instead."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Where secrets are looked up: by name in `environ`, private keys of our own in the folder `state`."""

    environ: Mapping[str, str]
    state: Path

    def of(self, way: Way) -> str:
        """Raises ValueError for one that is not there, CannotSign for one that only the provider can have."""
        if way.scheme in BY_CERTIFICATE or way.keys_url:
            raise CannotSign("it is signed with a key that only the provider has, and that is fetched from there")
        if not way.secret:
            return ""
        if is_asymmetric(way):
            key = kept_key(self.state, way.secret)
            if key is None:
                raise CannotSign(
                    f"the secret {way.secret!r} is a public key, of which only the provider has the other half"
                )
            return key
        return secret_named(way.secret, self.environ)


def sample_of(aim: Aim, event: str | None, keys: Keys, fresh: Fresh) -> Sample:
    """Raises ValueError."""
    names = events_of(aim.provider)
    chosen = event or next(iter(names), "")
    handshakes = {handshake.name: handshake for handshake in aim.entry.handshakes}
    if chosen in names or chosen not in handshakes:
        return load_sample(aim.provider, chosen, fresh)
    handshake = handshakes[chosen]
    return handshake_sample(handshake, _checks(aim.settings, handshake, keys), fresh)


def _checks(settings: JsonObject, handshake: Handshake, keys: Keys) -> dict[str, str]:
    compiled = settings.get("handshakes")
    found = [one for one in compiled if isinstance(one, dict)] if isinstance(compiled, list) else []
    checks = next((one.get("check") for one in found if one["name"] == handshake.name), None)
    listed = [check for check in checks if isinstance(check, dict)] if isinstance(checks, list) else []
    return {str(check["at"]): secret_named(str(check["secret"]), keys.environ) for check in listed}


def is_unsigned(aim: Aim, sample: Sample) -> bool:
    """A handshake that comes before the provider signs anything."""
    return any(one.name == sample.event and not one.signed for one in aim.entry.handshakes)


def shot(
    aim: Aim, sample: Sample, keys: Keys, fresh: Fresh, what: Break | None = None, variant: str | None = None
) -> Request:
    """Raises ValueError, CannotSign, and Temporary for a secret that is no key."""
    parts = urlsplit(aim.url)
    path, _, query = parse_target(aim.url).path.partition("?")
    both = "&".join(filter(None, (query, sample.request.query)))
    request = with_header(replace(sample.request, path=path, query=both), "host", parts.netloc)
    if is_unsigned(aim, sample) and not any(way.scheme in IN_HEAD for way in aim.source.auth):
        return request
    refusal: Exception = ValueError(_no_way(aim.source.auth, variant))
    for way in _likeliest_first(aim.source.auth, request):
        if variant in {None, way.variant}:
            try:
                return _by(way, aim.signed_url, request, keys, fresh, what)
            except (CannotSign, ValueError, HookchainError) as error:
                refusal = error
    raise refusal


def _no_way(ways: Sequence[Way], variant: str | None) -> str:
    if variant is None:
        return "it has no way of proof"
    there = ", ".join(filter(None, (way.variant for way in ways)))
    return f"the source has no way of proof {variant!r}; it has {there or 'none with a name'}"


def _likeliest_first(ways: Sequence[Way], request: Request) -> list[Way]:
    """Return the ways in the order to try: first those whose condition the request meets as it is, and of these first
    one that signs each item of a body which has such items."""
    reading = Reading(request)
    return sorted(ways, key=lambda way: (not way_holds(reading, way), not (way.each and is_signed(reading, way))))


def _by(
    way: Way, url_of: Callable[[Request], str], request: Request, keys: Keys, fresh: Fresh, what: Break | None
) -> Request:
    if what and (reason := why_not(what, way)):
        raise ValueError(reason)
    delivery_id = f"msg_{fresh.hex_digits}"
    if what == "signature" and way.scheme in BY_CERTIFICATE:
        return _forged(request)
    if what == "signature" and is_asymmetric(way):
        return signed(request, Signer(way, make_pair(way).private, url_of, fresh.now, delivery_id))
    request = _meeting(way, request)
    signer = Signer(way, keys.of(way), url_of, fresh.now, delivery_id)
    right = signed(request, signer)
    if not is_asymmetric(way):
        verify(right, way, [signer.key] if signer.key else [], {}, fresh.now, url_of(right))  # is the way for this one?
    if what == "signature":
        return signed(request, replace(signer, key=_another(signer)))
    if what == "clock":
        return signed(request, broken_signer(what, signer))
    return broken_request(what, way, right)


def _meeting(way: Way, request: Request) -> Request:
    """With the headers that say by which of its ways the provider signs."""
    for place, wanted in way.when:
        if place.kind == "header" and isinstance(wanted, str):
            request = with_text(request, place, wanted)
    return request


def _another(signer: Signer) -> str:
    """A secret of the same shape, so that nothing but the signature is wrong."""
    if signer.way.key == "hex":
        return WRONG_KEY.hex()
    prefix = "whsec_" if signer.key.startswith("whsec_") else ""
    return prefix + base64.b64encode(WRONG_KEY).decode()


def _forged(request: Request) -> Request:
    """Signed by nobody: what PayPal and Amazon SNS have for a signature is there, and is none."""
    forged = {
        "paypal-transmission-id": "forged",
        "paypal-transmission-sig": "Zm9yZ2Vk",
        "paypal-cert-url": "https://api.paypal.com/v1/notifications/certs/forged",
    }
    for name, value in forged.items():
        request = with_header(request, name, value)
    return request
