"""Descriptions of the catalogue's auth schemes: the algorithm, the location, the signed content, the tolerance."""

from collections.abc import Iterator
from typing import Final

from deploy.config.models.provider import OfferedScheme, ProviderEntry
from shared.jsontext import Json, JsonObject

_ALGORITHMS: Final = frozenset({"hmac", "digest", "ecdsa", "rsa"})
_LAYOUTS: Final = {
    "pairs": "as one of its items",
    "versions": "as one of its versions",
    "numbered": "numbered from 1",
    "base64-json": "in base64 of a JSON object",
}
_UNITS: Final = {"s": "Unix seconds", "ms": "Unix milliseconds", "rfc3339": "RFC 3339", "http-date": "an HTTP date"}


def scheme_names(entry: ProviderEntry) -> list[str]:
    """Return a short name such as `hmac sha256` for each scheme that applies by default."""
    return [_name(offered.scheme.model_dump(exclude_none=True)) for offered in entry.auth if not offered.on_request]


def _name(settings: JsonObject) -> str:
    scheme = str(settings["scheme"])
    if scheme == "jwt":
        return f"jwt {', '.join(_texts(settings.get('algorithms')))}"
    return f"{scheme} {settings['algorithm']}" if scheme in _ALGORITHMS else scheme


def scheme_description(offered: OfferedScheme) -> str:
    """Return one line: the algorithm, the location of the signature, what it covers, and the tolerance."""
    return "; ".join(_details(offered.scheme.model_dump(exclude_none=True), offered))


def _details(scheme: JsonObject, offered: OfferedScheme) -> Iterator[str]:
    yield _name(scheme)
    if location := _location(scheme):
        yield location
    if "content" in scheme:
        yield f"over {scheme['content']}"
    if scheme.get("encoding") not in {None, "hex"}:
        yield f"in {scheme['encoding']}"
    if scheme.get("key") == "base64":
        yield "the secret is base64 of the key"
    elif scheme.get("key") == "hex":
        yield "the secret is the key in hex"
    if "timestamp" in scheme:
        yield f"signed at {scheme['timestamp']} ({_UNITS[str(scheme['unit'])]}), within {scheme['tolerance_seconds']} s"
    elif "tolerance_seconds" in scheme and scheme["scheme"] in {"standard-webhooks", "contentful", "paypal", "aws-sns"}:
        yield f"within {scheme['tolerance_seconds']} s"
    if offered.on_request:
        yield f"only with `variant: {scheme.get('variant')}`"


def _location(scheme: JsonObject) -> str:
    header = scheme.get("header")
    where = f"header {header}" if header else f"at {scheme['at']}" if scheme.get("at") else ""
    if not where and scheme["scheme"] == "query":
        where = f"query parameter {scheme.get('parameter')}"
    details = [
        _LAYOUTS.get(str(scheme.get("layout")), ""),
        f"named {' or '.join(_texts(scheme['take']))}" if scheme.get("take") else "",
        f"after {str(scheme['prefix'])!r}" if scheme.get("prefix") else "",
    ]
    return " ".join(filter(None, (where, *details)))


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
