"""The addresses that are on the public internet.

Own tables, because `ipaddress.is_global` takes addresses that carry another one inside (mapped, NAT64, 6to4, Teredo)
for what they look like. https://www.iana.org/assignments/iana-ipv4-special-registry and its sister for IPv6; whatever
stands in one of them is rejected, also what it calls globally reachable: no webhook lives there.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_V4: Final = tuple(
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
_V6: Final = tuple(
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
# Whose last 32 bits are an IPv4 address: compatible, mapped, NAT64.
_LAST: Final = tuple(
    IPv6Network(block) for block in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)


def address_of(text: str) -> Address | None:
    """Read an address; None for what is none in its one usual spelling."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def blocked_kind(address: Address, allow_private: bool = False) -> str | None:
    """Return the kind of an address to which nothing may be sent; None for any other address."""
    if isinstance(address, IPv6Address) and address.scope_id:
        return "an address of one network interface"
    if any(each in block for each in (address, *_carried(address)) for block in _METADATA):
        return "the cloud's metadata, which hands out credentials"
    if allow_private:
        return None
    if isinstance(address, IPv4Address):
        return next((word for block, word in _V4 if address in block), None)
    if address not in _V6_UNICAST:
        return "not of IPv6's public range, 2000::/3 (RFC 4291)"
    if _is_isatap(address):
        return "ISATAP, which carries an IPv4 address (RFC 5214)"
    return next((word for block, word in _V6 if address in block), None)


def _carried(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that an IPv6 address may lead to."""
    if isinstance(address, IPv4Address):
        return ()
    last = any(address in block for block in _LAST) or _is_isatap(address)
    found = (IPv4Address(int(address) & 0xFFFF_FFFF) if last else None, address.sixtofour, *(address.teredo or ()))
    return tuple(each for each in found if each)


def _is_isatap(address: IPv6Address) -> bool:
    return int(address) >> 32 & 0xFCFF_FFFF == 0x5EFE  # but for two bits, whether the address is unique and of a group
