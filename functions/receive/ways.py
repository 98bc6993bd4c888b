"""The ways in of a source, from its slice."""

from collections.abc import Sequence

from shared.jsontext import Json
from shared.signatures.way import Way, read_way


def read_ways(auth: Json) -> tuple[Way, ...]:
    assert isinstance(auth, list)
    return tuple(read_way(entry) for entry in auth)


def takes_fetch(ways: Sequence[Way]) -> bool:
    """Whether a way's key has to be fetched."""
    return any(way.scheme in {"aws-sns", "paypal"} or way.keys_url for way in ways)
