"""The samples in deploy/samples: what each provider sends, made new at each sending."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.times import rfc3339

FOLDER: Final = Path(__file__).resolve().parent.parent / "samples"
_CONTENT_TYPES: Final = {
    ".json": "application/json",
    ".xml": "application/xml",
    ".form": "application/x-www-form-urlencoded",
    ".multipart": "multipart/form-data",
}

# What stands in the files for what is new at each sending: deploy/samples/heads.yaml says so too.
_SECONDS: Final = "1700000000"
_MOMENT: Final = "2023-11-14T22:13:20"
_STRING_OR_SPACE: Final = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
_HEX: Final = "5eed5eed5eed"
_DIGITS: Final = "5050505050"


@dataclass(frozen=True, slots=True)
class Sample:
    """`request` is unsigned, and goes to `/`."""

    event: str
    request: Request
    is_handshake: bool = False


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is new: the time, and 12 hex digits and 10 decimal ones for ids."""

    now: float
    hex_digits: str
    digits: str

    def filled(self, text: str) -> str:
        seconds = str(int(self.now))
        for stands, fills in (
            (_SECONDS, seconds),  # milliseconds begin with the same ten digits
            (_MOMENT, rfc3339(self.now)[:19]),
            (_MOMENT.replace("T", " "), rfc3339(self.now)[:19].replace("T", " ")),
            (_HEX, self.hex_digits),
            (_HEX.upper(), self.hex_digits.upper()),
            (_DIGITS, self.digits),
        ):
            text = text.replace(stands, fills)
        return text


def events_of(provider: str) -> tuple[str, ...]:
    """The samples' names, the usual one first; none for a provider without samples."""
    heads = _heads().get(provider, {})
    files = sorted(_files(provider))
    named = dict.fromkeys([*(name for name in heads if name in files), *files])
    return tuple(sorted(named, key=lambda name: heads.get(name, {}).get("handshake") is True))


def load_sample(provider: str, event: str, fresh: Fresh) -> Sample:
    """Raises ValueError for an event without a sample."""
    files = _files(provider)
    if event not in files:
        raise ValueError(f"there is no sample {event!r} of {provider}{did_you_mean(event, files)}")
    head = _heads().get(provider, {}).get(event, {})
    path = files[event]
    return Sample(event, _request(path, head, fresh), head.get("handshake") is True)


def _request(path: Path, head: Mapping[str, object], fresh: Fresh) -> Request:
    named = head.get("headers")
    headers = {"content-type": _CONTENT_TYPES[path.suffix]}
    for name, value in named.items() if isinstance(named, dict) else ():
        headers[str(name).lower()] = fresh.filled(str(value))
    return Request("POST", "/", headers=tuple(headers.items()), body=_body(path, fresh))


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
    return {path.stem: path for path in (FOLDER / provider).glob("*.*") if path.suffix in _CONTENT_TYPES}


@cache
def _heads() -> Mapping[str, Mapping[str, Mapping[str, object]]]:
    heads: Mapping[str, Mapping[str, Mapping[str, object]]] = yaml.safe_load(
        (FOLDER / "heads.yaml").read_text(encoding="utf-8")
    )
    return heads
