"""How a sender proves itself, in words, from the catalogue's way."""

from collections.abc import Iterator
from typing import Final

from deploy.config.models.provider import OfferedWay, ProviderEntry
from shared.jsontext import Json, JsonObject

_ALGORITHMS: Final = frozenset({"hmac", "digest", "ecdsa", "rsa"})
_LAYOUTS: Final = {
    "pairs": "among its items",
    "versions": "among its versions",
    "numbered": "numbered from 1",
    "base64-json": "in base64 of a JSON object",
}
_UNITS: Final = {"s": "Unix seconds", "ms": "Unix milliseconds", "rfc3339": "RFC 3339", "http-date": "an HTTP date"}


def short_proofs(entry: ProviderEntry) -> list[str]:
    """`hmac sha256`, one a way that is taken without asking."""
    return [_short(settings_of(offered)) for offered in entry.auth if not offered.on_request]


def settings_of(offered: OfferedWay) -> JsonObject:
    settings: JsonObject = offered.way.model_dump(exclude_none=True)
    return settings


def _short(way: JsonObject) -> str:
    scheme = str(way["scheme"])
    if scheme == "jwt":
        return f"jwt {', '.join(_texts(way.get('algorithms')))}"
    return f"{scheme} {way['algorithm']}" if scheme in _ALGORITHMS else scheme


def way_words(offered: OfferedWay) -> str:
    """One line: what is where, over what, within what time."""
    return "; ".join(_parts(settings_of(offered), offered))


def _parts(way: JsonObject, offered: OfferedWay) -> Iterator[str]:
    yield _short(way)
    if place := _place(way):
        yield place
    if "content" in way:
        yield f"over {way['content']}"
    if way.get("encoding") not in {None, "hex"}:
        yield f"in {way['encoding']}"
    if way.get("key") == "base64":
        yield "the secret is base64 of the key"
    elif way.get("key") == "hex":
        yield "the secret is the key in hex"
    if "timestamp" in way:
        yield f"signed at {way['timestamp']} ({_UNITS[str(way['unit'])]}), within {way['tolerance_seconds']} s"
    elif "tolerance_seconds" in way and way["scheme"] in {"standard-webhooks", "contentful", "paypal", "aws-sns"}:
        yield f"within {way['tolerance_seconds']} s"
    if offered.on_request:
        yield f"only where the source says `variant: {way.get('variant')}`"


def _place(way: JsonObject) -> str:
    header = way.get("header")
    where = f"header {header}" if header else f"at {way['at']}" if way.get("at") else ""
    if not where and way["scheme"] == "query":
        where = f"query parameter {way.get('parameter')}"
    details = [
        _LAYOUTS.get(str(way.get("layout")), ""),
        f"named {' or '.join(_texts(way['take']))}" if way.get("take") else "",
        f"after {str(way['prefix'])!r}" if way.get("prefix") else "",
    ]
    return " ".join(filter(None, (where, *details)))


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
