"""The sample requests of each provider, in deploy/samples, and its handshakes, in the catalogue.

Times and ids in a sample are new each time that it is loaded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, cast

from deploy.config.config_file import load_data
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

# The placeholders in the files for values that are new each time; deploy/samples/heads.yaml lists them too.
_SECONDS: Final = "1700000000"
_MOMENT: Final = "2023-11-14T22:13:20"
_HOLE: Final = re.compile(r"\{([^{}]*)\}")
_PLACE: Final = re.compile(r"(?:header|query|form|data)\.[^\s{}()+]+")
_STRING_OR_SPACE: Final = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
_HEX: Final = "5eed5eed5eed"
_DIGITS: Final = "5050505050"


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

    def filled(self, text: str) -> str:
        """Return the text with the new values in place of the fixed ones of the files."""
        seconds = str(int(self.now))
        for stands, fills in (
            (_SECONDS, seconds),  # also replaces the first ten digits of milliseconds
            (_MOMENT, times.rfc3339(self.now)[:19]),
            (_MOMENT.replace("T", " "), times.rfc3339(self.now)[:19].replace("T", " ")),
            (_HEX, self.hex_digits),
            (_HEX.upper(), self.hex_digits.upper()),
            (_DIGITS, self.digits),
        ):
            text = text.replace(stands, fills)
        return text


def sample_names(provider: str) -> tuple[str, ...]:
    """Return the names of a provider's samples, the usual one first, handshakes last; none without samples."""
    heads = _heads().get(provider, {})
    files = sorted(_files(provider))
    named = dict.fromkeys([*(name for name in heads if name in files), *files])
    return tuple(sorted(named, key=lambda name: heads.get(name, {}).get("handshake") is True))


def load_sample(provider: str, event: str, fresh: Fresh) -> Sample:
    """Return the sample with new values. Raises ValueError for an event without a sample."""
    files = _files(provider)
    if event not in files:
        listed = f"`hookchain trigger {provider} --list` lists them"
        raise ValueError(f"{provider}: there is no sample {event!r} ({listed}){did_you_mean(event, files)}")
    head = _heads().get(provider, {}).get(event, {})
    path = files[event]
    return Sample(event, _request(path, head, fresh), head.get("handshake") is True)


def handshake_sample(handshake: Handshake, checks: Mapping[str, str], fresh: Fresh) -> Sample:
    """Return a provider's handshake request, made from the catalogue.

    `checks` has the secret that each place must hold. A text that the reply must repeat is made up.
    """
    request = http.Request(handshake.method, "/")
    expected = {place: _expected_text(value, fresh) for place, value in handshake.when.items() if value is not False}
    places = {**expected, **checks}
    for place in _repeated_places(handshake):
        places.setdefault(place, f"hookchain-{fresh.hex_digits}")
    if any(place.startswith("data.") for place in places):
        request = replace(request, headers=(("content-type", "application/json"),), body=b"{}")
    elif any(place.startswith("form.") for place in places):
        request = replace(request, headers=(("content-type", "application/x-www-form-urlencoded"),))
    for place, text in places.items():
        request = content_signing.with_text(request, locations.parse_location(place), text)
    return Sample(handshake.name, request, is_handshake=True)


def _request(path: Path, head: Mapping[str, object], fresh: Fresh) -> http.Request:
    named = head.get("headers")
    headers = {"content-type": _CONTENT_TYPES[path.suffix]}
    for name, value in named.items() if isinstance(named, dict) else ():
        headers[str(name).lower()] = fresh.filled(str(value))
    return http.Request("POST", "/", headers=tuple(headers.items()), body=_body(path, fresh))


def _body(path: Path, fresh: Fresh) -> bytes:
    """Return the file's text without the newline at its end, unless that is a CR LF, which senders write.

    JSON is made compact: it is how most senders write it, and some vendors' libraries (WorkOS, eBay) parse a body and
    verify the signature over what JSON.stringify makes of it.
    """
    text = path.read_bytes().decode("utf-8")
    if path.suffix == ".json":
        text = _STRING_OR_SPACE.sub(lambda found: found[1] or "", text)
    if text.endswith("\n") and not text.endswith("\r\n"):
        text = text[:-1]
    return fresh.filled(text).encode()


def _files(provider: str) -> dict[str, Path]:
    """Return the provider's files by the names of their samples."""
    return {path.stem: path for path in (FOLDER / provider).glob("*.*") if path.suffix in _CONTENT_TYPES}


@cache
def _heads() -> Mapping[str, Mapping[str, Mapping[str, object]]]:
    """Return what heads.yaml says of each sample, by provider and name: its headers, and whether it is a handshake."""
    return cast("Mapping[str, Mapping[str, Mapping[str, object]]]", load_data(FOLDER / "heads.yaml"))


def _expected_text(wanted: str | bool, fresh: Fresh) -> str:
    return wanted if isinstance(wanted, str) else f"hookchain-{fresh.hex_digits}"


def _repeated_places(handshake: Handshake) -> Iterator[str]:
    """Yield the places whose text the reply repeats."""
    reply = handshake.reply
    texts = [reply.text or "", *reply.headers.values(), *(str(value) for value in (reply.json_ or {}).values())]
    for hole in _HOLE.findall("\n".join(texts)):
        yield from _PLACE.findall(hole)
