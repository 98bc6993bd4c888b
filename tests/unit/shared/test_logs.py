"""A line of the log: its fields, of which a sender may have a say, without any spelling of a credential."""

import base64
import errno
import html
import json
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import pytest

from shared import logs
from shared.credential_masks import masked, without_credentials
from shared.jsontext import JsonObject, mapping_at, to_json
from shared.logs import is_loggable_name, loggable_type
from shared.settings import read_settings, settings, slice_or_exit
from tests.in_process.posting import JSON, Posting, code

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    yield
    logs.set_trace_project("")
    logs.set_ids(None)
    settings.cache_clear()
    slice_or_exit.cache_clear()


@pytest.mark.parametrize("function", ["receive", "transform", "notify"])
def test_cloud_logging_shows_the_lines_of_one_trace_together(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slice.json").write_text(json.dumps({"function": function}))
    environ = {"K_SERVICE": "x", "GOOGLE_CLOUD_PROJECT": "a-project", "HOOKCHAIN_SLICE": str(tmp_path / "slice.json")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    slice_or_exit(function)
    logs.log("INFO", "done", trace=TRACE)
    logs.log("INFO", "of no event")
    logs.set_ids(lambda _: (TRACE, "b7ad6b7169203331"))
    logs.log("INFO", "with telemetry")
    traced, other, spanned = map(json.loads, capsys.readouterr().out.splitlines())
    assert (spanned["trace"], spanned["span"]) == (TRACE, "b7ad6b7169203331")
    assert spanned["logging.googleapis.com/trace"] == traced["logging.googleapis.com/trace"]
    assert spanned["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
    assert traced["logging.googleapis.com/trace"] == "projects/a-project/traces/0af7651916cd43dd8448eb211c80319c"
    assert "logging.googleapis.com/trace" not in other


def test_elsewhere_a_line_has_no_field_of_google_cloud(capsys: pytest.CaptureFixture[str]) -> None:
    load_environ = {"GOOGLE_CLOUD_PROJECT": "a-project", "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}
    assert read_settings(load_environ).metadata_host is None
    logs.log("INFO", "done", trace=TRACE)
    assert "googleapis" not in capsys.readouterr().out


def test_a_field_that_is_not_listed_is_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"not a log field: password; the allowed ones are in shared/logs\.py"):
        logs.log("INFO", "message", password="a-secret-value")
    assert not capsys.readouterr().out


class FullDisk(StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_standard_output_does_not_take_is_no_fault_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", FullDisk())
    logs.log("INFO", "accepted")
    with pytest.raises(OSError, match="No space left"):
        logs.write_line("INFO", "accepted", {})


# No spelling of a credential is left in what a receiver answered

SECRET = 'Kp7&x"rT/4mZ<q9+Ld2'
HALF = len(SECRET) // 2
SPELLINGS = {
    "as it is": SECRET,
    "in small letters": SECRET.lower(),
    "in HTML": html.escape(SECRET),
    "in JSON": json.dumps(SECRET),
    "in JSON of PHP": json.dumps(SECRET).replace("/", "\\/"),
    "in a URL": quote(SECRET, safe=""),
    "in a URL, each byte": "".join(f"%{byte:02X}" for byte in SECRET.encode()),
    **{
        f"{written % 75} every {nth} characters": "".join(
            written % ord(character) if index % nth == nth - 1 else character for index, character in enumerate(SECRET)
        )
        for written in ("%%%02X", "%%%02x", "\\u%04x", "\\u%04X", "&#%d;", "&#x%x;")
        for nth in (1, 2, 3, 7, 12)
    },
    "base64 in a URL that escapes a plus only": base64.b64encode(f"é:{SECRET}".encode()).decode().replace("+", "%2B"),
    "in hex": SECRET.encode().hex().upper(),
    **{
        f"in base64 after {before!r}": base64.b64encode(f"{before}{SECRET}{after}".encode()).decode()
        for before, after in (("", ""), ("u:", ""), ("me:", "x"), ("user:", ":yes"))
    },
    "in base64url": base64.urlsafe_b64encode(f"é:{SECRET}".encode()).decode(),
    "its first half": SECRET[:HALF],
    "without its end": SECRET[:-3],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_secret_is_left(spelling: str) -> None:
    body = f"before {SPELLINGS[spelling]} after".encode()
    without = without_credentials(body, [SECRET])
    assert b"***" in without
    assert without.startswith(b"before ")
    assert without.endswith(b" after")
    for part in (SECRET[:HALF], SECRET[HALF:]):
        for left in (part, html.escape(part), quote(part, safe=""), part.encode().hex(), _in_base64(part)):
            assert left.lower().encode() not in without.lower()
    assert masked(body.decode(), [SECRET]) == without.decode()


def _in_base64(part: str) -> str:
    return base64.b64encode(part.encode()).decode()[:-4]


@pytest.mark.parametrize("body", [b"", b"ok", b"no such thing", "schlüssel fehlt".encode(), b"\xff\xfe" * 20])
def test_a_body_without_a_credential_is_the_same_object(body: bytes) -> None:
    assert without_credentials(body, [SECRET, "", "short"]) is body


def test_what_is_around_an_escaped_credential_stays() -> None:
    body = r'{"a": "\u00e4\ud83d\ude00s\u00e9cr\u00e9t-\ud83d\ude00\u0041\n", "b": "%41&amp;s%C3%A9cr\u00E9t-😀&lt;"}'
    expected = r'{"a": "\u00e4\ud83d\ude00***\u0041\n", "b": "%41&amp;***&lt;"}'
    assert without_credentials(body.encode(), ["sécrét-😀"]).decode() == expected


def test_a_letter_that_is_not_ascii_has_a_capital_too() -> None:
    assert masked("wrong: SCHLÜSSELWÖRTER", ["schlüsselwörter"]) == "wrong: ***"
    assert masked("a short one, abc", ["abc", ""]) == "a short one, ***"


SOURCES = """
open: {auth: none}
gitlab: {provider: gitlab, secret: token}
mine: {provider: gitlab, secret: token, type: header.X-Mine}
"""
LINE_TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


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
    await posting.send("/open", b"{}", JSON, ("traceparent", f"00-{LINE_TRACE}-{SPAN}-01"))
    line = logged(capsys)
    assert line["trace"] == LINE_TRACE
    assert to_json(line).count(LINE_TRACE) == 1
    assert SPAN not in to_json(line)


async def test_a_rejected_length_is_not_repeated(posting: Posting, capsys: pytest.CaptureFixture[str]) -> None:
    reply = await posting.send("/open", b"", ("content-length", "987654321"))
    assert reply.status == 413
    assert b"987654321" not in reply.body
    assert "987654321" not in capsys.readouterr().out
