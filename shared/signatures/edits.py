"""Write a text into a request, at the locations from which `shared.signatures.locations` reads one."""

import json
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from shared.http import Request
from shared.jsontext import Json
from shared.signatures.locations import Location


def with_text(request: Request, location: Location, text: str) -> Request:
    """Return the request with the text at the location. Raises ValueError where the body cannot hold it."""
    match location.kind:
        case "header":
            return with_header(request, location.name, text)
        case "query":
            return replace(request, query=_with_field(request.query, location.name, text))
        case "form":
            return replace(request, body=_with_field(request.body.decode(), location.name, text).encode())
        case "data":
            data: Json = json.loads(request.body or b"{}")
            return with_data(request, set_in(data, location.path, text))
    raise ValueError(f"location: must be header, query, form or data; got {location.kind}")


def with_header(request: Request, name: str, value: str) -> Request:
    others = tuple(pair for pair in request.headers if pair[0] != name.lower())
    return replace(request, headers=(*others, (name.lower(), value)))


def with_data(request: Request, data: Json) -> Request:
    return replace(request, body=json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def set_in(value: Json, path: Sequence[str], text: str) -> Json:
    """Return the value with the text at the path, in each element where it has a `*`; a number stays a number."""
    if not path:
        return int(text) if isinstance(value, int) and not isinstance(value, bool) and text.isdecimal() else text
    first, rest = path[0], path[1:]
    if first == "*":
        return [set_in(item, rest, text) for item in value] if isinstance(value, list) else value
    if first.isdecimal() and (isinstance(value, list) or value is None):
        items = list(value) if isinstance(value, list) else []
        items += [None] * (int(first) + 1 - len(items))
        items[int(first)] = set_in(items[int(first)], rest, text)
        return items
    fields = dict(value) if isinstance(value, dict) else {}
    fields[first] = set_in(fields.get(first), rest, text)
    return fields


def _with_field(encoded: str, name: str, text: str) -> str:
    pairs = parse_qsl(encoded, keep_blank_values=True)
    remaining = [pair for pair in pairs if pair[0] != name]
    return urlencode([*remaining, (name, text)])
