"""The only parser of URLs to send to, strict where the usual parsers disagree with each other.

A URL that is rejected here is rejected when the configuration is loaded, too: `read_target` asks no network.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shared.errors import Permanent
from shared.outgoing.addresses import Address, address_of, blocked_kind

MAX_URL_CHARACTERS: Final = 8_192
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(#.*)?", re.I
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

# From https://fetch.spec.whatwg.org/#port-blocking, what is above 1023; below it, only the web's own two are taken.
_BAD_PORTS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
_METADATA_NAMES: Final = ("metadata.google.internal", "metadata.goog", "metadata")
_LOCAL_NAMES: Final = ("localhost", "localdomain", "local", "internal", "home.arpa")


@dataclass(frozen=True, slots=True)
class Target:
    """`address` is set where the URL names one; else `host` is a DNS name in lower case. `path` has the query."""

    secure: bool
    host: str
    port: int
    path: str
    address: Address | None

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS["https" if self.secure else "http"] else f"{host}:{self.port}"


@lru_cache(maxsize=256)
def read_target(url: str, allow_private: bool = False, allow_http: bool = False) -> Target:
    """`allow_http`: plain http too, which `allow_private` implies.

    Raises Permanent: `address_blocked` where its host is not a public one, `invalid_url` for every other fault.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise Permanent("invalid_url", f"the URL has {len(url)} characters; at most {MAX_URL_CHARACTERS} are taken")
    found = _URL.fullmatch(url)
    if found is None:
        raise Permanent("invalid_url", "a URL to send to is written https://host/path")
    scheme = found["scheme"].lower()
    if scheme != "https" and not (scheme == "http" and (allow_private or allow_http)):
        raise Permanent("invalid_url", f"only https URLs are sent to{_http_hint(scheme)}")
    if fault := re.search(r"[\\\s\x00-\x20\x7f]", url):
        raise Permanent("invalid_url", f"the URL has {_named(fault[0])} in it; percent-encode what belongs there")
    host, port = _host_and_port(found["authority"], scheme)
    address = _checked_host(host, allow_private)
    path = (found["path"] or "/") + (found["query"] or "")
    if not path.isascii():
        raise Permanent("invalid_url", "the URL's path or query has characters that are not ASCII: percent-encode them")
    return Target(scheme == "https", str(address) if address else host, port, path, address)


def _http_hint(scheme: str) -> str:
    return "; http is for a system of your own, with `allow_private: true`" if scheme == "http" else ""


def _named(character: str) -> str:
    return {"\\": "a backslash", " ": "a space"}.get(character, "a control character")


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise Permanent(
            "invalid_url", "the URL holds a user name or password; put credentials in a header, by a secret's name"
        )
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise Permanent("invalid_url", "the URL's host is followed by something other than a port")
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    if port > 65_535 or port in _BAD_PORTS or (port < 1_024 and port not in _DEFAULT_PORTS.values()):
        raise Permanent("invalid_url", f"port {port} is not one where web services listen")
    return found["host"].lower(), port


def _checked_host(host: str, allow_private: bool) -> Address | None:
    """Return the address that the host is, or None for a name that may be looked up."""
    if not host.isascii():  # full-width digits, circled ones, and stranger full stops become others on their way
        raise Permanent("address_blocked", "the URL's host has characters that are not ASCII: write its `xn--` form")
    if host.startswith("["):
        address = address_of(host[1:-1])
        if address is None or address.version != 6:
            raise Permanent("address_blocked", "the URL has brackets around what is no IPv6 address")
        return _checked_address(address, allow_private)
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        address = address_of(host)
        if address is None:
            raise Permanent("address_blocked", "the URL's host is a number in a form that programs read differently")
        return _checked_address(address, allow_private)
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise Permanent("invalid_url", "the URL's host is no DNS name")
    _verify_name(name, allow_private)
    return None


def _checked_address(address: Address, allow_private: bool) -> Address:
    if kind := blocked_kind(address, allow_private):
        raise Permanent("address_blocked", f"the URL's host is an address that is {kind}{_hint(address)}")
    return address


def _hint(address: Address) -> str:
    return "" if blocked_kind(address, allow_private=True) else "; `allow_private: true` permits it"


def _verify_name(name: str, allow_private: bool) -> None:
    if name in _METADATA_NAMES:
        raise Permanent("address_blocked", "the URL's host is the cloud's metadata, which hands out credentials")
    if not allow_private and any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES):
        raise Permanent(
            "address_blocked", "the URL's host is a name of this machine or network; `allow_private: true` permits it"
        )
