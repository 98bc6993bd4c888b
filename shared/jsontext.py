"""The types of JSON, functions that look up, read and write it, and base64, which is how JSON holds bytes."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Final, TypeAlias

import orjson

from shared.json_outline import has_long_number, outline

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


def _reject_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_DECODER: Final = json.JSONDecoder(parse_constant=_reject_constant)


# What a document holds


def value_at(document: Json, *path: str | int) -> Json:
    """Return the value at the path of names, and of positions in lists; None if there is none."""
    value = document
    for part in path:
        if isinstance(value, dict):
            value = value.get(str(part))
        else:
            value = value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None
    return value


def mapping_at(document: Json, *path: str | int) -> JsonObject:
    """Return the mapping at the path; an empty one if there is none."""
    value = value_at(document, *path)
    return value if isinstance(value, dict) else {}


def mappings_at(document: Json, *path: str | int) -> dict[str, JsonObject]:
    """Return those entries of the mapping at the path that are mappings."""
    return {name: entry for name, entry in mapping_at(document, *path).items() if isinstance(entry, dict)}


def list_at(document: Json, *path: str | int) -> list[Json]:
    """Return the list at the path; an empty one if there is none."""
    value = value_at(document, *path)
    return value if isinstance(value, list) else []


def values_in(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Yield the value and each value in it, each after its path."""
    yield path, value
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from values_in(item, (*path, key))


def texts_at(document: Json, *path: str | int) -> list[str]:
    """Return the values of the list at the path as texts."""
    return [str(each) for each in list_at(document, *path)]


def objects_at(document: Json, *path: str | int) -> list[JsonObject]:
    """Return the mappings in the list at the path."""
    return [each for each in list_at(document, *path) if isinstance(each, dict)]


def kind_of(value: Json) -> str:
    """Return the kind of the value, for messages that must not quote it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


# Writing and reading


def canonical(value: Json) -> bytes:
    """Return the same bytes for the same value: sorted keys, no spaces, UTF-8. For hashes and ids."""
    return _canonical(value).encode()


def texts_json(value: Json) -> bytes:
    """Return the bytes of to_json for a value without floats. orjson writes some floats differently, and NaN as null.

    It takes a tenth of to_json's time for an event's attributes, an id or a line of the log.
    """
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits, or half a surrogate pair, which raises UnicodeEncodeError here
        return to_json(value).encode()


def from_json(text: bytes) -> Json:
    """Return the JSON as the standard library reads it, by orjson where it reads the same: in a third of the time.

    Raises ValueError, also for NaN and infinity, and RecursionError.
    """
    # orjson takes NaN and infinity for faults too, but reads a long integer as a float.
    if not has_long_number(outline(text)):
        try:
            return orjson.loads(text)  # type: ignore[no-any-return] # it returns Any
        except ValueError:  # half a surrogate pair, for example, which only the standard library takes
            pass
    return _DECODER.decode(text.decode())  # type: ignore[no-any-return] # as this does


def json_or_none(text: bytes) -> Json:
    """Return the value of another system's JSON; None if the text is not JSON. NaN and infinity are taken, too."""
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


# Base64 as the standard library reads and writes it; longer texts by pybase64, in a tenth of the time or less


LONG_CHARACTERS: Final = 1_024
"""From here on pybase64 reads a text, such as a bus message with its event. For 1,300 characters binascii takes 2 µs,
and 12 µs for twice as many. To import pybase64 takes 1 ms, once in a process."""
LARGE_BYTES: Final = 16_384
"""From here on pybase64 writes a text, for which binascii takes 12 µs or more."""


def decode_base64(text: str | bytes, *, strict: bool = True) -> bytes:
    """Return the bytes. Raises ValueError as binascii does, in its strict mode or without."""
    if len(text) >= LONG_CHARACTERS:
        try:
            return _long_text_decoder()(text)
        except ValueError:
            pass  # binascii decides, and raises its own error
    return a2b_base64(text, strict_mode=strict)


@cache
def _long_text_decoder() -> Callable[[str | bytes], bytes]:
    # Imported here, because many processes read only short texts; cached, because each import takes 0.4 µs.
    from pybase64 import b64decode

    return partial(b64decode, validate=True)


def base64_encoder(total_bytes: int) -> Callable[[bytes], bytes]:
    """Return the encoder for contents of `total_bytes` together: pybase64 saves as much time for many small ones."""
    if total_bytes >= LARGE_BYTES:
        from pybase64 import b64encode

        return b64encode
    return _encode_small


_encode_small: Final = partial(b2a_base64, newline=False)


def base64_bytes(content: bytes) -> bytes:
    return base64_encoder(len(content))(content)


def base64_text(content: bytes) -> str:
    if len(content) >= LARGE_BYTES:
        from pybase64 import b64encode_as_string

        return b64encode_as_string(content)
    return b2a_base64(content, newline=False).decode("ascii")


def base64url(content: bytes) -> str:
    """Return the content in base64url without padding, as links and tokens hold it."""
    return urlsafe_b64encode(content).decode().rstrip("=")


def decode_base64url(text: str) -> bytes:
    """Return the bytes of base64url, with or without its padding. Raises ValueError, though not for each foreign sign:
    the standard library skips those of ASCII."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
