"""The lines of bad-inputs.txt whose stage is forward, email, chat, sendgrid or build."""

import re
import socket
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.configurations import faults_of_text

STAGES: Final = frozenset({"forward", "email", "chat", "sendgrid", "build"})
URL: Final = "https://crm.example.com/in"

HOSTS: Final = {
    "N01": (
        *("127.0.0.1", "[::1]", "0.0.0.0", "0", "127.1", "0177.0.0.1", "2130706433", "0x7f.1"),
        *("１２７.0.0.1", "①②⑦.0.0.1"),
    ),
    "N02": (
        *("10.0.0.1", "10.255.255.254", "172.16.0.1", "172.31.255.254", "192.168.0.1", "100.64.0.1", "169.254.169.254"),
        *("192.0.0.8", "192.88.99.1", "198.18.0.1", "198.19.255.254", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    ),
    "N04": (
        *("[fe80::1%25eth0]", "[fec0::1]", "[fd00:ec2::254]", "[ff02::1]"),
        *("[5f00::1]", "[3fff::1]", "[2001:db8::1]", "[100::1]"),
    ),
    "N05": ("metadata.google.internal", "localhost."),
}
FAULTY: Final = {
    **{name: [f"url: 'https://{host}/in'" for host in hosts] for name, hosts in HOSTS.items()},
    "N07": [
        *(f"url: '{scheme}://crm.example.com/in'" for scheme in ("file", "gopher", "ftp", "http")),
        *(f"url: 'https://crm.example.com:{port}/in'" for port in (22, 25, 99_999)),
    ],
    "N15": [
        *(f'headers: {{x-key: "{value}"}}, url: {URL}' for value in ("a\\r\\nB: c", "a\\nb", "a\\0", "\\u03c0")),
        *(f"headers: {{{name}: x}}, url: {URL}" for name in ("Host", "Content-Length")),
    ],
}
"""Settings of a webhook that are rejected when the configuration is loaded."""

ELSEWHERE: Final = {
    *("N09", "N10", "N11", "N12"),  # answers of receivers: test_kinds.py, functional/test_webhook.py
    *("N05", "N08"),  # names that lead to addresses that are not public: unit/shared/test_ssrf.py
    "N14",  # long, compressed and slow answers: functional/test_webhook.py
    *("N31", "N33", "N34", "N37"),  # mails: test_mail_render.py, test_default_mail.py
    *("N39", "N42", "N46"),  # test_message_kinds.py, test_mail_services.py, functional/test_messages.py
}


def config(webhook: str) -> str:
    return (
        "sources: {shop: {auth: none}}\nroutes: [{name: all, from: shop, to: crm}]\n"
        f"destinations: {{crm: {{webhook: {{{webhook}}}}}}}\n"
    )


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that something tried to connect to."""
    found: list[str] = []

    def connect(_: socket.socket, address: tuple[str, int]) -> None:
        found.append(address[0])
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(socket.socket, "connect", connect)
    return found


@pytest.mark.parametrize("settings", [settings for all_ in FAULTY.values() for settings in all_])
def test_it_is_rejected_when_the_configuration_is_loaded(settings: str, connects: list[str]) -> None:
    assert re.search("destination 'crm': webhook: (url|headers): ", faults_of_text(config(settings)))
    assert connects == []


def test_every_line_of_these_stages_is_tried(inputs_folder: Path) -> None:
    lines = (inputs_folder / "bad-inputs.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.split("|")[0] for line in lines if not line.startswith("#") and line.split("|")[1] in STAGES}

    assert listed == {*FAULTY, *ELSEWHERE}
