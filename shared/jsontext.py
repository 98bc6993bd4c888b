"""JSON as the type checker sees it, and the two ways Hookchain writes it."""

import json
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


def to_json(value: Json) -> str:
    """Return compact text. NaN and infinity, which JSON lacks, raise ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def canonical(value: Json) -> bytes:
    """Return the same bytes for the same value: sorted keys, no spaces, UTF-8. For hashes and ids."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")
