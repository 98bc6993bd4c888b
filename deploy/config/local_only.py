"""The parts of a configuration that work on this machine, and not in a deployment or not on every cloud."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.config.faults import DocumentPath
from deploy.config.google_accounts import without_google_account
from shared.jsontext import Json, JsonObject

_SHARED_FILES: Final = frozenset({"document", "sheet"})
_ADDRESS_KEY: Final = re.compile(r"(\w+_)?(url|host|endpoint|server)")
_HOST: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/?#@]*@)?(?:\[([^\]]+)\]|([^/:?#]+))", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def local_only(slices: Mapping[str, JsonObject]) -> Iterator[tuple[DocumentPath, str, str]]:
    """Yield the place, the name and the rule of each part that a deployment cannot use as `make dev` does."""
    notify, transform = slices["notify"], slices["transform"]
    for part, word, slice_ in (("destinations", "destination", notify), ("chains", "chain", transform)):
        for name, entry in _named(slice_.get(part)):
            yield from _loopbacks((part, name), f"{word} {name!r}", entry)
    routes = transform.get("routes")
    for number, route in enumerate(routes if isinstance(routes, list) else ()):
        if isinstance(route, dict):
            yield from _loopbacks(("routes", number), f"route {route.get('name')!r}", route)
    yield from _loopbacks(("people",), "people", notify.get("people"))
    for name, kind in without_google_account(notify):
        if kind in _SHARED_FILES:
            rule = "on Google Cloud it writes with the account of `notify`, with which you share the file"
            yield ("destinations", name), f"destination {name!r}", f"has no `secret`: {rule}. AWS has no such account"


def _named(entries: Json) -> Iterator[tuple[str, Json]]:
    yield from entries.items() if isinstance(entries, dict) else ()


def _loopbacks(place: DocumentPath, where: str, value: Json) -> Iterator[tuple[DocumentPath, str, str]]:
    for key, host in dict.fromkeys(_hosts(value)):
        if is_loopback(host) or host.endswith(".localhost"):
            yield place, where, f"`{key}` is at {host}, which is this machine only: a deployment cannot reach it"


def _hosts(value: Json) -> Iterator[tuple[str, str]]:
    """Yield the host of each address in settings, with its key."""
    if isinstance(value, list):
        for item in value:
            yield from _hosts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and _ADDRESS_KEY.fullmatch(key) and (found := _HOST.match(item)):
                yield key, (found[1] or found[2]).lower()
            else:
                yield from _hosts(item)
