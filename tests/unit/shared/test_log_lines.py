"""Fields that a sender has a say in, as they get into a log line, or do not."""

import json
from collections.abc import Sequence

import pytest

from shared.jsontext import JsonObject, mapping_at, to_json
from shared.logs import is_loggable_name, loggable_type
from tests.in_process.posting import JSON, Posting, code

SOURCES = """
open: {auth: none}
gitlab: {provider: gitlab, secret: token}
mine: {provider: gitlab, secret: token, type: header.X-Mine}
"""
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def posting() -> Posting:
    return Posting(SOURCES, {"token": "a-token-of-this-test"})


def logged(capsys: pytest.CaptureFixture[str]) -> JsonObject:
    [line] = capsys.readouterr().out.splitlines()
    return mapping_at(json.loads(line))


@pytest.mark.parametrize(
    ("event_types", "max_words", "is_logged"),
    [
        (("order.paid", "pull_request", "zen:event-type:ticket.created", "a" * 80, "v2024-01"), 1, True),
        (("", "a" * 81, "card 4111", "Push Hook", " a", "a\n", "naïve", "a@example.com", "<b>", "a,b", "{}"), 1, False),
        (("4111111111111111", "card.4111-1111-1111-1111", "id:123-45-67-89", "tel/030.1234.567"), 1, False),
        (("Push Hook", "Confidential Issue Hook x"), 4, True),
        (("one two three four five", "call 030 1234 567", "two  spaces", "a@b.example c"), 4, False),
    ],
)
def test_a_type_is_logged_if_it_may_be_only_a_type(event_types: Sequence[str], max_words: int, is_logged: bool) -> None:
    for event_type in event_types:
        assert loggable_type(event_type, max_words) == (event_type if is_logged else "other")


@pytest.mark.parametrize(
    ("names", "is_logged"),
    [
        (("x-hub-signature-256", "x-b3-traceid", "x-signature-ed25519", "http2-settings", "hub.mode", "a_b"), True),
        (("mfkq9r8gkyqrtwjupd8ilpzio2lalasw", "550e8400-e29b-41d4-a716-446655440000", "whsec_a1b2c3d4e5f6"), False),
        (("x-4111111111111111", "x-411-111-111"), False),
        (("", "-x", "x--y", "x y", "naïve", "a" * 17), False),
    ],
)
def test_a_name_is_logged_where_it_consists_of_words(names: Sequence[str], is_logged: bool) -> None:
    for name in names:
        assert is_loggable_name(name) is is_logged, name


@pytest.mark.parametrize(
    ("path", "header", "kind", "expected"),
    [
        ("/gitlab", "X-Gitlab-Event", "push", "Push Hook"),
        ("/gitlab", "X-Other", "Push Hook", "other"),
        ("/gitlab", "X-Other", "push", "push"),
        ("/mine", "X-Mine", "push", "other"),
    ],
    ids=["a header of the catalogue", "the body in its place", "one word of the body", "a header of the operator"],
)
async def test_several_words_are_logged_of_a_header_that_the_catalogue_names(
    posting: Posting, capsys: pytest.CaptureFixture[str], path: str, header: str, kind: str, expected: str
) -> None:
    body = to_json({"object_kind": kind}).encode()
    token = ("x-gitlab-token", "a-token-of-this-test")
    assert (await posting.send(path, body, JSON, token, (header.lower(), "Push Hook"))).status == 200
    assert logged(capsys)["type"] == expected


async def test_a_path_that_names_no_source_is_not_logged(posting: Posting, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("/canary", "/tok%2Fcanary", "/canary/open", "/open%2Fcanary", "//canary", "/OPEN-canary"):
        assert code(await posting.send(path)) == "unknown_source"
        line = logged(capsys)
        assert "source" not in line
        assert "canary" not in to_json(line)


async def test_of_a_trace_only_its_id_is_logged(posting: Posting, capsys: pytest.CaptureFixture[str]) -> None:
    await posting.send("/open", b"{}", JSON, ("traceparent", f"00-{TRACE}-{SPAN}-01"))
    line = logged(capsys)
    assert line["trace"] == TRACE
    assert to_json(line).count(TRACE) == 1
    assert SPAN not in to_json(line)


async def test_a_rejected_length_is_not_repeated(posting: Posting, capsys: pytest.CaptureFixture[str]) -> None:
    reply = await posting.send("/open", b"", ("content-length", "987654321"))
    assert reply.status == 413
    assert b"987654321" not in reply.body
    assert "987654321" not in capsys.readouterr().out
