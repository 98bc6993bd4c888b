"""A request being signed: what stands in it can still be put in place."""

import json
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

from shared.http import Request
from shared.jsontext import Json, to_json
from shared.signatures.places import Place


@dataclass(slots=True)
class Draft:
    """`headers` keep the spelling that the sender gives them."""

    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def request(self) -> Request:
        parts = urlsplit(self.url)
        headers = tuple((name.lower(), value) for name, value in self.headers)
        return Request(self.method, parts.path or "/", parts.query, headers, self.body)

    def put(self, place: Place, text: str) -> None:
        """In place of what stands there. Raises ValueError where the body has no such place."""
        match place.kind:
            case "header":
                self.put_header(place.name, text)
            case "query":
                parts = urlsplit(self.url)
                self.url = parts._replace(query=_with_field(parts.query, place.name, text)).geturl()
            case "form":
                self.body = _with_field(self.body.decode(), place.name, text).encode()
            case "data":
                document: Json = json.loads(self.body)
                put_in(document, place.path, text)
                self.body = to_json(document).encode()

    def put_header(self, name: str, value: str) -> None:
        self.headers = [pair for pair in self.headers if pair[0].lower() != name.lower()]
        self.headers.append((name, value))


def put_in(value: Json, path: tuple[str, ...], text: str) -> None:
    """Objects on the way are made; `*` means each element. A number takes the place of a number."""
    step, rest = path[0], path[1:]
    if step == "*":
        for item in value if isinstance(value, list) else []:
            put_in(item, rest, text)
        return
    if not isinstance(value, dict):
        raise ValueError(f"the body has no object that could hold {step!r}")
    if rest:
        put_in(value.setdefault(step, {}), rest, text)
    else:
        value[step] = int(text) if isinstance(value.get(step), int) and text.isdecimal() else text


def _with_field(encoded: str, name: str, value: str) -> str:
    fields = [pair for pair in parse_qsl(encoded, keep_blank_values=True) if pair[0] != name]
    return urlencode([*fields, (name, value)])
