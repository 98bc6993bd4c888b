"""The lines of bad-inputs.txt whose stage is forward, email, chat, sendgrid or build."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFaults, parse_config
from functions.notify.notifier import Result
from functions.notify.read_destinations import read_destinations
from functions.notify.registry import Destinations
from shared.fetch import Fetched
from shared.outgoing.guarded_fetch import GuardedFetch
from tests.fakes.destinations import a_context
from tests.fakes.fetch import FakeFetch
from tests.fakes.notifier import FakeNotifier

STAGES: Final = frozenset({"forward", "email", "chat", "sendgrid", "build"})
URL: Final = "https://crm.example.com/in"
PUBLIC: Final = "93.184.215.14"

HOSTS: Final = {
    "N01": (
        "127.0.0.1",
        "[::1]",
        "0.0.0.0",
        "0",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f.1",
        "１２７.0.0.1",
        "①②⑦.0.0.1",
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

NAMES: Final[dict[str, list[list[Sequence[str]]]]] = {
    "N05": [[["10.0.0.1"]], [[PUBLIC, "10.0.0.1"]], [["10.0.0.1", PUBLIC]], [["::ffff:10.0.0.1"]]],
    "N08": [[[PUBLIC], ["127.0.0.1"]], [["127.0.0.1"], [PUBLIC]]],
}
"""What DNS answers for the webhook's host, look-up by look-up."""

ANSWERS: Final[dict[str, list[tuple[int | None, str]]]] = {
    "N09": [(status, "retry_scheduled") for status in (301, 302, 307, 308)],
    "N10": [(status, "retry_scheduled") for status in (500, 502, 503, 504, 408, None)],
    "N11": [(status, "retry_scheduled") for status in (400, 401, 404, 422)],
    "N12": [(410, "held")],
}
"""The status that a webhook's receiver answers, None for a connection that it refuses, and the outcome."""

ELSEWHERE: Final = {
    "N09": ("functional/test_webhook.py", "test_a_redirect_is_not_followed"),
    "N10": (
        "unit/notify/test_webhook.py",
        "test_the_id_is_the_same_in_each_attempt_and_the_time_is_new_and_hops_count",
    ),
    "N10 TLS": ("unit/shared/test_guarded_fetch.py", "test_a_certificate_that_has_expired_proves_nothing"),
    "N14": ("functional/test_webhook.py", "test_a_long_or_compressed_body_is_read_up_to_64_kib_and_not_decoded"),
    "N14 slow": ("functional/test_webhook.py", "test_a_receiver_that_answers_a_byte_at_a_time_or_never"),
    "N31": ("unit/notify/test_mail_render.py", "test_a_subject_that_smuggles_a_line_makes_no_mail"),
    "N33": ("unit/notify/test_mail_render.py", "test_a_recipient_that_the_event_names_is_one_and_on_the_allow_list"),
    "N33 address": ("unit/notify/test_mail_addresses.py", "test_what_is_not_one_address_is_rejected_without_its_text"),
    "N34": ("unit/notify/test_mail_mime.py", "test_an_event_chooses_neither_the_extension_nor_the_folder_of_a_file"),
    "N37": ("unit/notify/test_mail_render.py", "test_links_that_run_something_are_dropped"),
    "N37 text": ("unit/notify/test_default_mail.py", "test_the_html_shows_each_value_as_the_text_that_it_is"),
    "N39": ("unit/notify/test_message_kinds.py", "test_hostile_text_calls_nobody"),
    "N39 long": ("unit/notify/test_message_kinds.py", "test_a_long_text_is_cut_with_a_mark_and_keeps_its_link"),
    "N42": ("unit/notify/test_mail_sendgrid.py", "test_what_it_will_never_take_is_rejected"),
    "N42 key": ("unit/notify/test_mail_sendgrid.py", "test_a_rejected_key_is_tried_again_after_a_pause_for_all"),
    "N42 later": ("unit/notify/test_mail_sendgrid.py", "test_trouble_is_tried_again_later"),
    "N42 timeout": ("functional/test_sendgrid.py", "test_no_answer_in_time_is_unknown"),
    "N46": (
        "functional/test_builds.py",
        "test_the_same_event_a_hundred_times_at_once_is_one_workflow_run",
    ),
}
"""What is a part's own, or needs a server, and the test that has it."""


def config(webhook: str) -> str:
    return (
        "sources: {shop: {auth: none}}\nroutes: [{name: all, from: shop, to: crm}]\n"
        f"destinations: {{crm: {{webhook: {{{webhook}}}}}}}\n"
    )


def notifier(fetch: FakeFetch | GuardedFetch) -> FakeNotifier:
    slice_ = compile_config(parse_config(config(f"url: {URL}"), "hookchain.yaml", Path()))["notify"]
    context = replace(a_context(), fetch=lambda: fetch)
    return FakeNotifier(destinations=Destinations(read_destinations(slice_), context))


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
    with pytest.raises(ConfigFaults, match=r"destination 'crm': webhook: (url|headers): "):
        compile_config(parse_config(config(settings), "hookchain.yaml", Path()))

    assert connects == []


@pytest.mark.parametrize("answers", [answers for all_ in NAMES.values() for answers in all_])
async def test_a_name_leads_to_no_address_that_is_not_public(answers: list[Sequence[str]], connects: list[str]) -> None:
    lookups: list[str] = []

    async def resolve(host: str, _: int) -> Sequence[str]:
        lookups.append(host)
        return answers[len(lookups) - 1]

    result: Result = await notifier(GuardedFetch(resolve)).take()

    assert len(lookups) == 1
    if answers[0] == [PUBLIC]:
        assert (result.outcome, connects) == ("retry_scheduled", [PUBLIC])
    else:
        assert (result.outcome, result.code, connects) == ("dead_lettered", "address_blocked", [])


@pytest.mark.parametrize(("status", "outcome"), [case for cases in ANSWERS.values() for case in cases])
async def test_an_answer_has_its_outcome(status: int | None, outcome: str) -> None:
    location = (("location", "http://127.0.0.1/"),)
    fetch = FakeFetch({} if status is None else {URL: Fetched(status, location, b"")})

    assert (await notifier(fetch).take()).outcome == outcome
    assert [request.url for request in fetch.asked] == [URL]


async def test_a_rejection_that_lasts_is_a_dead_letter_at_the_schedule_s_end() -> None:
    """N11, to its end."""
    crm = notifier(FakeFetch({URL: Fetched(404, (), b"")}))
    await crm.take()
    for _ in range(200):
        crm.clock.advance(3_600)
        await crm.sweep_and_take()

    assert (await crm.row()).state == "dead_lettered"
    assert len(crm.dead_letters) == 1


def test_every_line_of_these_stages_is_tried(inputs_folder: Path) -> None:
    lines = (inputs_folder / "bad-inputs.txt").read_text(encoding="utf-8").splitlines()
    listed = {line.split("|")[0] for line in lines if not line.startswith("#") and line.split("|")[1] in STAGES}

    assert listed == {*FAULTY, *NAMES, *ANSWERS, *(name.partition(" ")[0] for name in ELSEWHERE)}


@pytest.mark.parametrize(("file", "name"), ELSEWHERE.values())
def test_what_is_tried_elsewhere_is_still_there(root: Path, file: str, name: str) -> None:
    assert name in (root / "tests" / file).read_text(encoding="utf-8")
