"""The URLs and addresses to which requests to other systems may be sent. Pure.

An address is allowed unless `blocked_kind` names its kind. `read_target` verifies a URL, and the address in it if it
has one. If it has a name instead, shared/outgoing/guarded_fetch.py verifies each address that the name has.

A URL that is rejected here is rejected when the configuration is loaded, too, because `read_target` looks up no name.
It is the only parser of URLs to send to, and strict where the usual parsers disagree with each other.

The addresses have tables of our own, because `ipaddress.is_global` judges an address that carries another one inside
(mapped, NAT64, 6to4, Teredo) by its outside. https://www.iana.org/assignments/iana-ipv4-special-registry and its sister
for IPv6: whatever is in one of them is rejected, even if it is called globally reachable, because no webhook lives
there.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from shared.errors import Permanent

Address: TypeAlias = IPv4Address | IPv6Address

_BLOCKED_V4: Final = tuple(
    (ip_network(block), word)
    for block, word in (
        ("0.0.0.0/8", "this network (RFC 791)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared by a provider's customers (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("168.63.129.16/32", "Azure's own platform"),
        ("169.254.0.0/16", "link-local, with the cloud's metadata (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "reserved for protocols (RFC 6890)"),
        ("192.0.2.0/24", "documentation (RFC 5737)"),
        ("192.31.196.0/24", "AS112 (RFC 7535)"),
        ("192.52.193.0/24", "AMT (RFC 7450)"),
        ("192.88.99.0/24", "6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("192.175.48.0/24", "AS112 (RFC 7534)"),
        ("198.18.0.0/15", "benchmarking (RFC 2544)"),
        ("198.51.100.0/24", "documentation (RFC 5737)"),
        ("203.0.113.0/24", "documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
    )
)
# Of IPv6, only this is handed out (RFC 4291): it leaves out loopback, mapped, NAT64, unique local, link-local,
# site-local, multicast, discard-only and segment routing all at once.
_V6_UNICAST: Final = IPv6Network("2000::/3")
_BLOCKED_V6: Final = tuple(
    (ip_network(block), word)
    for block, word in (
        ("2001::/23", "reserved for protocols, Teredo too (RFC 2928, RFC 4380)"),
        ("2001:db8::/32", "documentation (RFC 3849)"),
        ("2002::/16", "6to4, which carries an IPv4 address (RFC 3056)"),
        ("2620:4f:8000::/48", "AS112 (RFC 7534)"),
        ("3ffe::/16", "given back (RFC 3701)"),
        ("3fff::/20", "documentation (RFC 9637)"),
    )
)
# Clouds hand out credentials at these addresses. They are rejected whatever the configuration allows.
_METADATA: Final = tuple(
    ip_network(block)
    for block in (
        "169.254.0.0/16",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "192.0.0.192/32",
        "fd00:c1::a9fe:a9fe/128",
        "fd00:ec2::/32",
        "fd20:ce::254/128",
        "fe80::a9fe:a9fe/128",
    )
)
# The networks in which the last 32 bits of an address are an IPv4 address: compatible, mapped, NAT64.
_CARRIES_V4_LAST: Final = tuple(
    IPv6Network(block) for block in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)

MAX_URL_CHARACTERS: Final = 8_192
"""The longest URL that is read."""
_URL: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(#.*)?", re.I
)
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_NAME_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A host whose last label is a number is read as an address (WHATWG, URL), in forms that programs read differently."""
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_BAD_PORTS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
"""The ports above 1023 in https://fetch.spec.whatwg.org/#port-blocking. Of those below, only 80 and 443 are allowed."""
_METADATA_NAMES: Final = ("metadata.google.internal", "metadata.goog", "metadata")
_LOCAL_NAMES: Final = ("localhost", "localdomain", "local", "internal", "home.arpa")


def address_of(text: str) -> Address | None:
    """Return the address that the text is; None for any other text, such as `127.1`, which only some programs read."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def blocked_kind(address: Address, allow_private: bool = False) -> str | None:
    """Return why nothing may be sent to the address: its kind, in words; None if it is allowed.

    `allow_private` allows all addresses except those of the clouds' metadata, and those with a zone of IPv6. So only
    the metadata is looked for inside an address: without `allow_private`, all addresses that carry one are rejected.
    """
    if isinstance(address, IPv6Address) and address.scope_id:
        return "an address of one network interface"
    if any(each in block for each in (address, *_carried(address)) for block in _METADATA):
        return "the cloud's metadata, which hands out credentials"
    if allow_private:
        return None
    if isinstance(address, IPv4Address):
        return next((word for block, word in _BLOCKED_V4 if address in block), None)
    if address not in _V6_UNICAST:
        return "not of IPv6's public range, 2000::/3 (RFC 4291)"
    if _is_isatap(address):
        return "ISATAP, which carries an IPv4 address (RFC 5214)"
    return next((word for block, word in _BLOCKED_V6 if address in block), None)


def _carried(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses inside an IPv6 address, to which a request may be forwarded."""
    if isinstance(address, IPv4Address):
        return []
    carried = [*(address.teredo or ())]
    if address.sixtofour is not None:
        carried.append(address.sixtofour)
    if _is_isatap(address) or any(address in block for block in _CARRIES_V4_LAST):
        carried.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return carried


def _is_isatap(address: IPv6Address) -> bool:
    # The mask leaves out the two bits that say whether the interface's id is unique, and whether it is a group's.
    return int(address) >> 32 & 0xFCFF_FFFF == 0x5EFE


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL to send to.

    host     a DNS name in lower case, or the text of `address`
    path     includes the query
    address  the address in the URL; None if the URL has a name
    """

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
    """Return the parts of the URL, if requests may be sent to it. No name is looked up.

    `allow_private` allows addresses that are not public, as for `blocked_kind`, and plain http. `allow_http` allows
    plain http only.

    Raises Permanent: `address_blocked` if the host is not public, and `invalid_url` for every other fault.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise Permanent("invalid_url", f"the URL has {len(url)} characters; at most {MAX_URL_CHARACTERS} are taken")
    found = _URL.fullmatch(url)
    if found is None:
        raise Permanent("invalid_url", "a URL to send to is written https://host/path")
    scheme = found["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise Permanent("invalid_url", "the URL must begin with https://")
    if scheme == "http" and not (allow_private or allow_http):
        hint = "http is for a system of your own, with `allow_private: true`"
        raise Permanent("invalid_url", f"the URL must begin with https://; {hint}")
    if fault := re.search(r"[\\\s\x00-\x20\x7f]", url):
        raise Permanent("invalid_url", f"the URL has {_named(fault[0])} in it; percent-encode what belongs there")
    host, port = _host_and_port(found["authority"], scheme)
    address = _checked_host(host, allow_private)
    path = (found["path"] or "/") + (found["query"] or "")
    if not path.isascii():
        raise Permanent("invalid_url", "the URL's path or query has characters that are not ASCII: percent-encode them")
    return Target(scheme == "https", str(address) if address else host, port, path, address)


def _named(character: str) -> str:
    return {"\\": "a backslash", " ": "a space"}.get(character, "a control character")


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise Permanent("invalid_url", "the URL holds a user name or password; put credentials in a header")
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise Permanent("invalid_url", "the URL's host is followed by something other than a port")
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    if port > 65_535 or port in _BAD_PORTS or (port < 1_024 and port not in _DEFAULT_PORTS.values()):
        raise Permanent("invalid_url", f"port {port} is not one where web services listen")
    return found["host"].lower(), port


def _checked_host(host: str, allow_private: bool) -> Address | None:
    """Return the host's address; None if the host is a name, and this name may be looked up. Raises Permanent."""
    if not host.isascii():  # a resolver may turn full-width or circled digits, and other full stops, into plain ones
        raise Permanent("address_blocked", "the URL's host has characters that are not ASCII: write its `xn--` form")
    if host.startswith("["):
        address = address_of(host[1:-1])
        if address is None or address.version != 6:
            raise Permanent("address_blocked", "the URL has brackets around what is no IPv6 address")
        return _checked_address(address, allow_private)
    name = host.removesuffix(".")
    labels = name.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        address = address_of(host)
        if address is None:
            raise Permanent("address_blocked", "the URL's host is a number in a form that programs read differently")
        return _checked_address(address, allow_private)
    if len(name) > 253 or not all(map(_NAME_LABEL.fullmatch, labels)):
        raise Permanent("invalid_url", "the URL's host must be a DNS name or an address")
    _verify_host_name(name, allow_private)
    return None


def _checked_address(address: Address, allow_private: bool) -> Address:
    if kind := blocked_kind(address, allow_private):
        raise Permanent("address_blocked", f"the URL's host is an address that is {kind}{_hint(address)}")
    return address


def _hint(address: Address) -> str:
    return "" if blocked_kind(address, allow_private=True) else "; `allow_private: true` permits it"


def _verify_host_name(name: str, allow_private: bool) -> None:
    if name in _METADATA_NAMES:
        raise Permanent("address_blocked", "the URL's host is the cloud's metadata, which hands out credentials")
    if not allow_private and any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES):
        raise Permanent(
            "address_blocked", "the URL's host is a name of this machine or network; `allow_private: true` permits it"
        )
