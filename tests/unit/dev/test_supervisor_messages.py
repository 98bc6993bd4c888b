"""The messages of the supervisor."""

import shlex
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.config.running_dev import Hint, ports_from, read_hint, remove_dev_file, served_config, write_dev_file
from deploy.requests.command_lines import first_event_line, first_event_line_without_secret
from deploy.requests.events import sample_beside
from deploy.requests.sources import source_lines
from deploy.terminal.log_view import LogView
from shared.jsontext import JsonObject

PORTS = ports_from(8080)
CLOCK = "12:00:00.000"


# Log lines


def test_a_line_that_is_no_log_line_is_shown_without_what_moves_the_cursor() -> None:
    assert LogView(level="ERROR").line("notify", "Traceback \x1b[2J", CLOCK) == f"{CLOCK} notify    Traceback ?[2J"
    assert LogView().line("notify", "  ", CLOCK) is None


@given(st.text())
def test_no_line_breaks_the_view_or_colours_it(line: str) -> None:
    shown = LogView().line("receive", line, CLOCK)
    assert shown is None or "\x1b" not in shown


def slices(*auth: JsonObject) -> dict[str, JsonObject]:
    return {
        "receive": {"sources": {"form": {"auth": list(auth)}}},
        "transform": {"routes": [{"name": "r", "from": ["form"], "types": ["signup.*"], "to": ["x"]}]},
    }


@pytest.mark.parametrize(
    ("auth", "command"),
    [
        ({"scheme": "basic", "username": "web", "secret": "pw"}, "curl -u web:s3cret -H"),
        ({"scheme": "header", "header": "X-Key", "secret": "pw"}, "curl -H 'X-Key: s3cret' -H"),
        ({"scheme": "none"}, "curl -H 'Content-Type: application/json' -d"),
    ],
)
def test_the_line_to_try_proves_its_sender(auth: JsonObject, command: str) -> None:
    line = first_event_line(slices(auth), PORTS, {"PW": "s3cret\nolder"})
    assert line
    assert line.startswith(command)
    assert '"event":"signup.created"' in line
    assert line.endswith(" http://127.0.0.1:8080/form")


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        ({"scheme": "basic", "username": "web"}, "--basic web --secret pw"),
        ({"scheme": "header", "header": "X-Key"}, "--password-header X-Key --secret pw"),
        ({"scheme": "path"}, "--source form --secret pw"),
        ({"scheme": "standard-webhooks"}, "--standard-webhooks --secret pw"),
    ],
)
def test_the_line_that_others_may_read_names_the_secret(auth: JsonObject, options: str) -> None:
    line = first_event_line_without_secret(slices({**auth, "secret": "pw"}), PORTS)
    assert line
    assert f" send http://127.0.0.1:8080/form {options} --data " in line


def test_a_token_in_the_url_is_quoted() -> None:
    line = first_event_line(slices({"scheme": "query", "parameter": "key", "secret": "pw"}), PORTS, {"PW": "a/b"})
    assert line
    assert line.endswith("'http://127.0.0.1:8080/form?key=a%2Fb'")


def test_a_sample_beside_the_configuration_is_what_the_line_posts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample.form").write_text("x")
    monkeypatch.chdir(tmp_path.parent)
    sample = sample_beside(tmp_path / "hookchain.yaml")
    line = first_event_line(slices({"scheme": "none"}), PORTS, {}, sample)
    assert line
    content_type = "Content-Type: application/x-www-form-urlencoded"
    assert shlex.split(line)[1:5] == ["-H", content_type, "--data-binary", f"@{tmp_path.name}/sample.form"]


def test_each_source_says_where_and_how() -> None:
    auth: list[JsonObject] = [{"scheme": "basic", "username": "web", "secret": "form-password"}, {"scheme": "none"}]
    lines = source_lines({"form": {"auth": list(auth)}}, PORTS)
    assert lines == ["http://127.0.0.1:8080/form  basic auth; user: web; password: FORM_PASSWORD or no authentication"]


def test_what_runs_can_be_found_and_only_by_its_owner(tmp_path: Path) -> None:
    hint = Hint("curl …", ("http://…",))
    write_dev_file(tmp_path, PORTS, hint, Path("x.yaml"))
    assert read_hint(tmp_path) == hint
    assert served_config(tmp_path) == str(Path("x.yaml").absolute())
    assert stat.S_IMODE((tmp_path / "dev.json").stat().st_mode) == 0o600
    remove_dev_file(tmp_path)
    assert read_hint(tmp_path) is None
    assert served_config(tmp_path) is None
