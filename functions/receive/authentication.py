"""Whether a request comes from whom the source trusts: any of its ways will do.

What stands in the head (a password, a token) is checked before the body is read; signatures are checked over the raw
body before anything is parsed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from functions.receive.admission import source_name
from functions.receive.ways import takes_fetch
from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.signatures.layouts import place_text
from shared.signatures.reading import Reading
from shared.signatures.verify import NeededKey, is_attempted, key_needed, verify
from shared.signatures.way import IN_HEAD, Way

SecretValues = Mapping[str, Sequence[str]]

NO_KEYS: Final[Mapping[str, bytes]] = MappingProxyType({})


def verify_head(request: Request, ways: Sequence[Way], secrets: SecretValues, now: float) -> bool:
    """True where the head alone proves the sender; False where what is signed still has to.

    Raises Rejected (`password`) where no way in is left.
    """
    refusal: Rejected | None = None
    for way in ways:
        if way.scheme in IN_HEAD:
            try:
                _verify_in_head(request, way, secrets.get(way.secret, ()), now)
            except Rejected as error:
                refusal = refusal or error
            else:
                return True
    if refusal and all(way.scheme in IN_HEAD for way in ways):
        raise refusal
    return False


def _verify_in_head(request: Request, way: Way, secrets: Sequence[str], now: float) -> None:
    if way.scheme == "link":
        from functions.receive.link import verify_link  # where links are taken only

        if request.method != "GET":
            raise Rejected("sig", "a link's signature is over its query alone, so it proves a GET and nothing posted")
        verify_link(source_name(request.path), request.query, secrets, now)
    else:
        verify(request, way, secrets, NO_KEYS, now)


def keys_wanted(request: Request, ways: Sequence[Way], now: float) -> set[NeededKey]:
    """Return the keys that verify_body needs.

    None where the request fails a check that needs no key: verify_body makes the same check, and rejects it.
    """
    wanted: set[NeededKey] = set()
    if not takes_fetch(ways):
        return wanted
    reading = Reading(request)
    for way in _attempted(reading, ways):
        try:
            key = key_needed(reading, way, now)
        except Rejected:
            continue
        if key:
            wanted.add(key)
    return wanted


def verify_body(
    request: Request,
    ways: Sequence[Way],
    secrets: SecretValues,
    now: float,
    url: str | None = None,
    keys: Mapping[str, bytes] = NO_KEYS,
) -> Way:
    """The way that proves it. `url` is the request's as its sender knows it; `keys` are what keys_wanted named.

    Raises Rejected, and Temporary for a secret or a key that is unusable.
    """
    refusal: Rejected | None = None
    reading = Reading(request, url)
    for way in _attempted(reading, ways):
        try:
            verify(reading, way, secrets.get(way.secret, ()), keys, now)
        except Rejected as error:
            refusal = refusal or error
        except Temporary as error:
            if error.code != "secret_unusable" or not _is_of_use_elsewhere(way, ways):
                raise
            refusal = refusal or Rejected("sig", f"{error.detail}; the source's goes with another of its ways")
        else:
            return way
    raise refusal or _nothing_given(ways)


def _is_of_use_elsewhere(way: Way, ways: Sequence[Way]) -> bool:
    """A secret is of one kind, and its sender chooses the way: what is no key for one may be another's password."""
    return any(other.secret == way.secret and other.scheme in IN_HEAD for other in ways)


def _attempted(reading: Reading, ways: Sequence[Way]) -> list[Way]:
    return [way for way in ways if way.scheme not in IN_HEAD and is_attempted(reading, way)]


def _nothing_given(ways: Sequence[Way]) -> Rejected:
    places = dict.fromkeys(place_text(way) for way in ways if way.scheme not in IN_HEAD)
    if not places:
        return Rejected("sig", "the source takes no signature")
    return Rejected("sig", f"the request has no signature: it is expected in {' or '.join(places)}")
