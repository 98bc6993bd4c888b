"""No request leads to an address that is not public: addresses and URLs in all their forms, and DNS.

A socket listens on loopback, and every attempt to connect is counted, wherever to.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from shared.errors import Permanent, Temporary
from shared.fetch import Outgoing
from shared.outgoing.guarded_fetch import GuardedFetch

pytestmark = pytest.mark.asyncio_loop  # uvloop opens its connections itself, so that `world` would see none

PUBLIC: Final = ("93.184.215.14", "2606:4700::1111")

LOOPBACK: Final = """
127.0.0.1 127.1 127.0.1 127.255.255.254 0177.0.0.1 0177.1 017700000001 0x7f.0.0.1 0x7f.1 0x7f000001 0X7F.1 2130706433
02130706433 127.0.0.1. 2130706433. 127.0x1 127.000.000.001 0 0. 0.0.0.0 0x0 [::] [0:0:0:0:0:0:0:0] [::1] [0::1]
[0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::FFFF:7F00:0001] [::127.0.0.1] [::7f00:1] [::ffff:0:127.0.0.1] [::ffff:0.0.0.0]
[64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [64:ff9b:1:fffe::127.0.0.1] [2002:7f00:1::] [::1%25lo] [::1%lo] [::1].
[2001:0:7f00:1::] [2001::80ff:fffe] [2606:4700::5efe:7f00:1] [2606:4700::200:5efe:127.0.0.1] [fe80::5efe:7f00:1] [::1]a
[127.0.0.1] [] [::1 ::1 [[::1]] localhost LOCALHOST localhost. a.localhost a.b.localhost. localhost.localdomain
ip6-localhost.localdomain nas.local db.internal router.home.arpa localhost.. .localhost local
"""
DIGITS: Final = """
１２７.0.0.1 １２７.０.０.１ ①②⑦.0.0.1 𝟏𝟐𝟕.0.0.1 127。0。0。1 127．0．0．1 127｡0｡0｡1 ٠ 127.0.0.١ १२७.0.0.1 ⓛⓞⓒⓐⓛⓗⓞⓢⓣ
ｌｏｃａｌｈｏｓｔ loc\u00adalhost local\u200bhost l\u043ecalhost localho\u017ft 127.0.0.1\u3002 [::\uff11]
\u2488.0.0.1 ℒocalhost
"""
AUTHORITIES: Final = """
good.example@127.0.0.1 good.example:443@127.0.0.1 user:pass@127.0.0.1 @127.0.0.1 a@b@127.0.0.1 127.0.0.1@good.example
good.example%40127.0.0.1 127.0.0.1%2f@good.example good.example%00.127.0.0.1 127.0.0.1\\@good.example
good.example\\@127.0.0.1 127.0.0.1\\.good.example good.example\\\\127.0.0.1 127.0.0.1%20.good.example %31%32%37.0.0.1
%6c%6f%63%61lhost 127%2e0%2e0%2e1 a:b 127.0.0.1:0x50 127.0.0.1: 127.0.0.1:443:443 127.0.0.1:-1 127.0.0.1:４４３
127.0.0.1;good.example 127.0.0.1,good.example {127.0.0.1} 127.0.0.1|good.example 127.0.0.1^ <127.0.0.1> "127.0.0.1"
"""
WITH_SPACES: Final = ("127.0.0.1 good.example", "127.0.0.1\tgood.example", "127.0.0.1\r\nHost: a", "127.0.0.1\0.a")
BLOCKS: Final = """
10.0.0.1 10.255.255.255 0.1.2.3 100.64.0.1 100.127.255.254 100.100.100.200 168.63.129.16 169.254.169.254 169.254.170.2
172.16.0.1 172.31.255.254 192.0.0.1 192.0.0.8 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1
192.168.255.254 192.175.48.1 198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 0xa9fea9fe 2852039166 0251.0376.0251.0376 169.254.43518 0xa.1 012.0.0.1 167772161 0300.0250.1 3232235521
192.168.1 172.1048577 10.1 [fe80::1] [fe80::1%25eth0] [febf::1] [fec0::1] [fc00::1] [fd00::1] [fd00:ec2::254]
[fd20:ce::254] [ff02::1] [ff05::1:3] [5f00::1] [3fff::1] [3ffe::1] [2001:db8::1] [100::1] [2001::1] [2001:10::1]
[2001:20::1] [2001:1ff:ffff::1] [2620:4f:8000::1] [4000::1] [e000::1] [::ffff:10.0.0.1] [::ffff:169.254.169.254]
[::ffff:a9fe:a9fe] [::a9fe:a9fe] [64:ff9b::a9fe:a9fe] [64:ff9b:1::10.0.0.1] [2002:a00:1::] [2002:a9fe:a9fe::]
[2002:c0a8:1::1] [2001:0:a9fe:a9fe::] [2606:4700::5efe:a9fe:a9fe] [::ffff:192.168.1.1] [::10.1.1.1] [1::1] [8000::]
metadata.google.internal metadata.google.internal. METADATA.google.internal metadata metadata.goog x.localdomain
instance-data.ec2.internal kubernetes.default.svc.cluster.local host.docker.internal
"""
HOSTS: Final = (*f"{LOOPBACK} {DIGITS} {AUTHORITIES} {BLOCKS}".split(), *WITH_SPACES)

ANSWERS: Final[tuple[Sequence[str], ...]] = (
    *([address] for address in ("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.20.0.1", "192.168.1.1")),
    *([address] for address in ("169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "192.0.0.8")),
    *([address] for address in ("::1", "::", "fe80::1", "fe80::1%2", "fd00:ec2::254", "fc00::1", "ff02::1", "2002::1")),
    *([address] for address in ("::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2001:0:7f00:1::", "100::1")),
    *([public, "127.0.0.1"] for public in PUBLIC),
    *(["127.0.0.1", public] for public in PUBLIC),
    *([*PUBLIC, address] for address in ("10.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1", "fe80::1%eth0")),
    *([address] for address in ("0177.0.0.1", "2130706433", "127.1", "localhost", "", "93.184.215.14%1", "1.1.1.1 ")),
)  # fmt: skip


@dataclass
class World:
    """`port` is where the socket listens. `attempts` are the addresses that something tried to connect to."""

    port: int
    arrivals: int = 0
    attempts: list[str] = field(default_factory=list)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    def arrive(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.arrivals += 1
        writer.close()

    server = await asyncio.start_server(arrive, "127.0.0.1", 0)
    found = World(server.sockets[0].getsockname()[1])
    real = socket.socket.connect

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        found.attempts.append(address[0])
        if address[0] in PUBLIC:  # which no test talks to
            raise ConnectionRefusedError(111, "refused")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield found
    assert found.arrivals == 0
    server.close()


class Names:
    """A resolver with a list of answers for each name; the last stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.lookups = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("host", HOSTS)
async def test_nothing_is_sent_to_a_host_that_is_not_public_in_any_form(world: World, host: str) -> None:
    """Whatever DNS says: a resolver that reads odd numbers, as some do, would lead to loopback."""
    names = Names(["127.0.0.1"])
    for url in (f"https://{host}:{world.port}/", f"https://{host}/", f"http://{host}:{world.port}/"):
        for method in ("GET", "POST"):
            with pytest.raises(Permanent) as error:
                await GuardedFetch(names).fetch(Outgoing(method, url))
            assert error.value.code in {"address_blocked", "invalid_url"}
    assert (world.attempts, names.lookups) == ([], 0)


@pytest.mark.parametrize("addresses", ANSWERS, ids=",".join)
async def test_nothing_is_sent_to_a_name_with_a_private_address(world: World, addresses: Sequence[str]) -> None:
    with pytest.raises(Permanent) as error:
        await GuardedFetch(Names(addresses)).fetch(Outgoing("POST", f"https://good.example:{world.port}/"))
    assert (error.value.code, world.attempts) == ("address_blocked", [])


async def test_a_name_that_changes_between_lookups_is_checked_at_each(world: World) -> None:
    names = Names([PUBLIC[0]], ["127.0.0.1"])
    fetch = GuardedFetch(names)
    request = Outgoing("GET", f"https://rebinding.example:{world.port}/")
    with pytest.raises(Temporary):
        await fetch.fetch(request)
    with pytest.raises(Permanent):
        await fetch.fetch(request)
    assert (world.attempts, names.lookups) == ([PUBLIC[0]], 2)


METADATA: Final = """
169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 [fd00:ec2::254] [fe80::a9fe:a9fe] metadata
[fd00:c1::a9fe:a9fe] [fd20:ce::254] [::ffff:169.254.169.254] [::a9fe:a9fe] [64:ff9b::a9fe:a9fe] [64:ff9b:1::a9fe:a9fe]
[2002:a9fe:a9fe::] [2001:0:a9fe:a9fe::] [2001:0:1:1::5601:5601] [2606:4700::5efe:a9fe:a9fe] [fd12::5efe:169.254.169.254]
[fe80::1%25eth0] metadata.google.internal
"""


@pytest.mark.parametrize("host", METADATA.split())
async def test_cloud_metadata_is_out_of_reach_even_where_private_addresses_are_allowed(world: World, host: str) -> None:
    for names in (Names(["127.0.0.1"]), Names([host.strip("[]")])):
        with pytest.raises(Permanent):
            await GuardedFetch(names).fetch(Outgoing("GET", f"http://{host}:{world.port}/", allow_private=True))
    with pytest.raises((Permanent, Temporary)):
        await GuardedFetch(Names([host.strip("[]")])).fetch(Outgoing("GET", "http://a.example/", allow_private=True))
    assert world.attempts == []
