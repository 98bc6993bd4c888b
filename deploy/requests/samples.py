"""Sample requests of each provider: events from files in deploy/samples, and handshakes from the catalogue.

The file deploy/samples/github/push.json is the body of the sample `push` of GitHub. deploy/samples/heads.yaml has its
headers. A sample that is loaded gets the current time and new ids, in place of the fixed ones of the files.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, TypedDict, cast

from deploy.config.packaged_yaml import load_data
from deploy.config.sections.catalogue import Handshake
from shared import http, times
from shared.did_you_mean import did_you_mean
from shared.signatures import content_signing, locations

FOLDER: Final = Path(__file__).resolve().parent.parent / "samples"
_CONTENT_TYPES: Final = {
    ".json": "application/json",
    ".xml": "application/xml",
    ".form": "application/x-www-form-urlencoded",
    ".multipart": "multipart/form-data",
}

# The times and ids in the files, which are replaced; deploy/samples/heads.yaml lists them too.
_SECONDS: Final = "1700000000"
_TIME: Final = "2023-11-14T22:13:20"
_HEX: Final = "5eed5eed5eed"
_DIGITS: Final = "5050505050"

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
"""A part of a handshake's reply in braces, such as `{hmac-base64(query.crc_token)}`."""
_LOCATION: Final = re.compile(r"(?:header|query|form|data)\.[^\s{}()+]+")
"""A location within such a part: `query.crc_token`."""
_STRING_OR_SPACE: Final = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
"""A string of JSON, as group 1, or white space between the tokens."""


class _Head(TypedDict, total=False):
    """A sample in heads.yaml: its headers, and `handshake: true` if the provider sends it to verify the endpoint."""

    headers: Mapping[str, object]
    handshake: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample request: unsigned, to `/`."""

    event: str
    request: http.Request
    is_handshake: bool = False


@dataclass(frozen=True, slots=True)
class Fresh:
    """New values for a sample: the time in Unix seconds, and 12 hex digits and 10 decimal digits for ids."""

    now: float
    hex_digits: str
    digits: str

    def fill(self, text: str) -> str:
        """Return the text with the new values in place of the fixed ones of the files."""
        time = times.rfc3339(self.now)[:19]
        new_values = {
            _SECONDS: str(int(self.now)),  # also replaces the first ten digits of milliseconds
            _TIME: time,
            _TIME.replace("T", " "): time.replace("T", " "),
            _HEX: self.hex_digits,
            _HEX.upper(): self.hex_digits.upper(),
            _DIGITS: self.digits,
        }
        for fixed, new in new_values.items():
            text = text.replace(fixed, new)
        return text


def sample_names(provider: str) -> tuple[str, ...]:
    """Return the names of a provider's samples: in the order of heads.yaml, then of the files, but handshakes last."""
    heads = _heads().get(provider, {})
    files = sorted(_files(provider))
    names = [name for name in heads if name in files] + [name for name in files if name not in heads]
    handshakes = [name for name in names if heads.get(name, {}).get("handshake") is True]
    return (*(name for name in names if name not in handshakes), *handshakes)


def load_sample(provider: str, event: str, fresh: Fresh) -> Sample:
    """Return the sample with new values. Raises ValueError for an event without a sample."""
    files = _files(provider)
    if event not in files:
        listed = f"`hookchain trigger {provider} --list` lists them"
        raise ValueError(f"{provider}: there is no sample {event!r} ({listed}){did_you_mean(event, files)}")
    head = _heads().get(provider, {}).get(event, {})
    return Sample(event, _request(files[event], head, fresh), is_handshake=head.get("handshake") is True)


def handshake_sample(handshake: Handshake, checks: Mapping[str, str], fresh: Fresh) -> Sample:
    """Return a provider's handshake request, made from the catalogue.

    `checks` has the secret that each location must have. A text that the catalogue does not define is generated.
    """
    generated = f"hookchain-{fresh.hex_digits}"
    texts: dict[str, str] = {}
    for location, value in handshake.when.items():
        if value is not False:  # false: a handshake must not have it; true: any text
            texts[location] = value if isinstance(value, str) else generated
    texts.update(checks)
    for location in _repeated_locations(handshake):
        texts.setdefault(location, generated)
    request = http.Request(handshake.method, "/")
    if any(location.startswith("data.") for location in texts):
        request = replace(request, headers=(("content-type", "application/json"),), body=b"{}")
    elif any(location.startswith("form.") for location in texts):
        request = replace(request, headers=(("content-type", "application/x-www-form-urlencoded"),))
    for location, text in texts.items():
        request = content_signing.with_text(request, locations.parse_location(location), text)
    return Sample(handshake.name, request, is_handshake=True)


def _request(path: Path, head: _Head, fresh: Fresh) -> http.Request:
    headers = {"content-type": _CONTENT_TYPES[path.suffix]}
    for name, value in head.get("headers", {}).items():
        headers[str(name).lower()] = fresh.fill(str(value))
    return http.Request("POST", "/", headers=tuple(headers.items()), body=_body(path, fresh))


def _body(path: Path, fresh: Fresh) -> bytes:
    """Return the file's content as a sender would write it.

    JSON is compact, because most senders write it so. Some providers' libraries (WorkOS, eBay) even verify a signature
    over the parsed body as JSON.stringify writes it. The newline at the end of a file is an editor's and is removed,
    unless it is a CR LF, which ends a multipart body.
    """
    text = path.read_bytes().decode("utf-8")
    if path.suffix == ".json":
        text = _STRING_OR_SPACE.sub(lambda match: match[1] or "", text)
    if text.endswith("\n") and not text.endswith("\r\n"):
        text = text[:-1]
    return fresh.fill(text).encode()


def _files(provider: str) -> dict[str, Path]:
    """Return the provider's files by the names of their samples."""
    return {path.stem: path for path in (FOLDER / provider).glob("*.*") if path.suffix in _CONTENT_TYPES}


@cache
def _heads() -> Mapping[str, Mapping[str, _Head]]:
    """Return the heads of the samples by provider and name."""
    return cast("Mapping[str, Mapping[str, _Head]]", load_data(FOLDER / "heads.yaml"))


def _repeated_locations(handshake: Handshake) -> Iterator[str]:
    """Yield the locations whose text the reply repeats."""
    reply = handshake.reply
    texts = [reply.text or "", *reply.headers.values(), *(str(value) for value in (reply.json_ or {}).values())]
    for hole in _BRACES.findall("\n".join(texts)):
        yield from _LOCATION.findall(hole)
