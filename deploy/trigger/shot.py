"""The request that is sent: a sample, aimed at a source, signed as its provider would, or broken on purpose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.commands.send_secret import secret_named
from deploy.sending.wire import parse_target
from deploy.trigger.aim import Aim
from deploy.trigger.breaking import Break, broken_request, broken_signer, why_not
from deploy.trigger.edits import with_header
from deploy.trigger.handshake_sample import handshake_sample
from deploy.trigger.private_keys import kept_key
from deploy.trigger.samples import Fresh, Sample, events_of, load_sample
from deploy.trigger.signing import ASYMMETRIC, BY_CERTIFICATE, Signer, signed
from shared.config.handshake import Handshake
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import JsonObject
from shared.signatures.verify import verify
from shared.signatures.way import Way

WRONG_SECRET: Final = "whsec_dGhpcyBpcyBub3QgdGhlIHNlY3JldCBhdCBhbGw="  # noqa: S105 wrong on purpose


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


def is_asymmetric(way: Way) -> bool:
    return way.scheme in ASYMMETRIC or (way.scheme == "jwt" and not any(name[:2] == "HS" for name in way.algorithms))


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


def shot(aim: Aim, sample: Sample, keys: Keys, fresh: Fresh, what: Break | None) -> Request:
    """Raises ValueError, CannotSign, and Temporary for a secret that is no key."""
    parts = urlsplit(aim.url)
    path, _, query = parse_target(aim.url).path.partition("?")
    both = "&".join(filter(None, (query, sample.request.query)))
    request = with_header(replace(sample.request, path=path, query=both), "host", parts.netloc)
    if is_unsigned(aim, sample):
        return request
    for refusal in _try_each(aim, request, keys, fresh, what):
        if isinstance(refusal, Request):
            return refusal
        last = refusal
    raise last


def _try_each(
    aim: Aim, request: Request, keys: Keys, fresh: Fresh, what: Break | None
) -> Sequence[Request | Exception]:
    tries: list[Request | Exception] = []
    for way in aim.ways:
        try:
            tries.append(_by(way, aim.signed_url, request, keys, fresh, what))
        except (CannotSign, ValueError, HookchainError) as error:
            tries.append(error)
    return tries or [ValueError("the source has no way of proof")]


def _by(
    way: Way, url_of: Callable[[Request], str], request: Request, keys: Keys, fresh: Fresh, what: Break | None
) -> Request:
    if what and (reason := why_not(what, way)):
        raise ValueError(reason)
    delivery_id = f"msg_{fresh.hex_digits}"
    if what == "signature" and (way.scheme in BY_CERTIFICATE or is_asymmetric(way) or way.keys_url):
        return _forged(way, request)
    signer = Signer(way, keys.of(way), url_of, fresh.now, delivery_id)
    right = signed(request, signer)
    if not is_asymmetric(way):
        verify(right, way, [signer.key] if signer.key else [], {}, fresh.now, url_of(right))  # is the way for this one?
    if what == "signature":
        return signed(request, replace(signer, key=_another(signer)))
    if what == "clock":
        return signed(request, broken_signer(what, signer))
    return broken_request(what, way, right)


def _another(signer: Signer) -> str:
    """A secret of the same shape, so that nothing but the signature is wrong."""
    if signer.way.key == "hex":
        return "00" * 32
    return WRONG_SECRET if signer.key.startswith("whsec_") or signer.way.key == "base64" else f"not-{signer.key[:0]}it"


def _forged(way: Way, request: Request) -> Request:
    """Something stands where the signature does."""
    name = way.header or "x-forged"
    return with_header(request, name, f"{way.prefix}Zm9yZ2Vk")
