"""JSON as the type checker sees it, and the two ways Hookchain writes it."""

import json
from collections.abc import Callable
from typing import Final, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

# One encoder each: json.dumps makes a new one at every call. No value of ours contains itself.
to_json: Final[Callable[[Json], str]] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
"""Return compact text. NaN and infinity, which JSON lacks, raise ValueError."""

_canonical: Final[Callable[[Json], str]] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def canonical(value: Json) -> bytes:
    """Return the same bytes for the same value: sorted keys, no spaces, UTF-8. For hashes and ids."""
    return _canonical(value).encode()
