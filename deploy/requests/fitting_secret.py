"""A secret of the shape that a source's ways ask for: base64, hex, or the public half of a key pair of our own."""

import base64
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

from deploy.requests.private_keys import keep_key, make_pair
from deploy.requests.signing import is_asymmetric
from shared.jsontext import Json, JsonObject
from shared.signatures.scheme import AuthScheme, read_scheme

KEY_BYTES: Final = 32


def fitting_secrets(
    names: Collection[str], receive: JsonObject, state: Path, random_bytes: Callable[[int], bytes]
) -> dict[str, str]:
    """Of those secrets for which no other text will do. The private halves are kept in the state folder.

    `receive` is its slice; `random_bytes` answers as many as it is asked for, others each time.
    """
    made: dict[str, str] = {}
    for way in _ways(receive):
        if way.secret in names and way.secret not in made:
            if is_asymmetric(way):
                pair = make_pair(way)
                keep_key(state, way.secret, pair)
                made[way.secret] = pair.public
            elif shaped := fitting_key(way, random_bytes(KEY_BYTES)):
                made[way.secret] = shaped
    return made


def fitting_key(way: AuthScheme, random_bytes: bytes) -> str | None:
    """None where any text will do."""
    if way.scheme == "standard-webhooks":
        return "whsec_" + base64.b64encode(random_bytes[:24]).decode()
    if way.key == "base64":
        return way.key_prefix + base64.b64encode(random_bytes[:24]).decode()
    return random_bytes[:32].hex() if way.key == "hex" else None


def _ways(receive: JsonObject) -> Iterator[AuthScheme]:
    sources = receive["sources"]
    for settings in sources.values() if isinstance(sources, dict) else ():
        auth: Json = settings.get("auth") if isinstance(settings, dict) else None
        for entry in auth if isinstance(auth, list) else ():
            yield read_scheme(entry)
