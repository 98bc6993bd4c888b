"""A line of the log for the platform that reads it, without any spelling of a credential."""

import base64
import errno
import html
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import pytest

from shared import logs
from shared.credential_masks import masked, without_credentials
from shared.settings import read_settings, settings, slice_or_exit

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
