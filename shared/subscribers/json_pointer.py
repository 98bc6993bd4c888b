"""JSON pointers (RFC 6901), such as `/components/schemas/Order`, and the references that consist of one."""

from collections.abc import Iterator
from urllib.parse import quote, unquote

from shared.jsontext import Json


def pointer(path: str, *tokens: str | int) -> str:
    """Return the JSON pointer to a value below `path`."""
    return path + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def pointer_of(reference: str) -> str | None:
    """Return the pointer of a local reference, such as `#/components/schemas/Order`; None for any other."""
    text = unquote(reference.removeprefix("#"))
    return text if reference.startswith("#") and (not text or text.startswith("/")) else None


def reference_to(path: str) -> str:
    """Return the local reference to the pointer: its opposite is `pointer_of`."""
    return "#" + quote(path, safe="/~!$&'()*+,;=:@")


def value_at(document: Json, path: str) -> Json:
    """Return the value at the pointer. Raises LookupError."""
    value = document
    for token in _tokens(path):
        if isinstance(value, dict):
            value = value[token]
        elif isinstance(value, list) and token.isdecimal() and len(token) < 8:
            value = value[int(token)]
        else:
            raise LookupError(path)
    return value


def last_token(path: str) -> str:
    return [*_tokens(path)][-1] if path else ""


def _tokens(path: str) -> Iterator[str]:
    return (token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:])
