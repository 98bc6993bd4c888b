"""The settings of the supervisor: options, ports, .env, secrets."""

import resource
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from deploy.cli.dev import find_warnings
from deploy.config import dotenv
from deploy.config.running_dev import PortsTaken, require_free
from deploy.dev.supervisor import start
from deploy.dev.supervisor.options import Options, parse_options
from deploy.secrets.values import WeakSecret, find_missing

# Options


def options(*arguments: str, environ: Mapping[str, str] | None = None, is_terminal: bool = True) -> Options:
    return parse_options(arguments, environ or {}, Path("/root-folder"), is_terminal)


def test_a_platform_that_does_not_exist_is_rejected_also_in_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert options(environ={"PLATFORM": "aws"}).platform == "aws"
    for arguments, environ in ((["--platform", "azure"], {}), ([], {"PLATFORM": "azure"})):
        with pytest.raises(SystemExit) as error:
            options(*arguments, environ=environ)
        assert error.value.code == 2
        assert "must be one of gcp, aws; got 'azure'" in capsys.readouterr().err


def test_the_environment_counts_and_the_command_line_counts_more() -> None:
    environ = {"PORT_BASE": "9000", "HOOKCHAIN_STATE": "/state", "LOG_LEVEL": "debug", "NO_COLOR": "1"}
    environ |= {"PLATFORM": "aws"}
    from_environ = options(environ=environ)
    assert from_environ.platform == "aws"
    assert (from_environ.port_base, from_environ.state) == (9000, Path("/state"))
    assert (from_environ.log_level, from_environ.colours) == ("DEBUG", False)
    assert options("--port-base", "9100", environ=environ).port_base == 9100


@pytest.mark.parametrize(
    "arguments", [["--port-base", "0"], ["--port-base", "65530"], ["--port-base", "x"], ["--log-level", "LOUD"]]
)
def test_an_invalid_option_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(*arguments)
    assert arguments[1] in capsys.readouterr().err


def test_what_the_env_file_sets_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"PORT_BASE=9000\nLOG_LEVEL=ERROR\nHOOKCHAIN_STATE={tmp_path / 'other'}\n", encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    run: list[Options] = []
    monkeypatch.setattr(start, "_run", lambda chosen, *_: run.append(chosen))
    assert start.main(["--env-file", str(env_file)], find_warnings) == 0
    [chosen] = run
    assert (chosen.port_base, chosen.log_level, chosen.state) == (9000, "ERROR", tmp_path / "state")


def test_an_unreadable_env_file_stops_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("PORT BASE=9000\n", encoding="utf-8")
    assert start.main(["--env-file", str(tmp_path / ".env")], find_warnings) == 1
    assert f"{tmp_path / '.env'}:1" in capsys.readouterr().err


# Ports


def test_a_taken_port_is_named_with_its_owner_and_a_way_out() -> None:
    with pytest.raises(PortsTaken) as rejection:
        require_free(8080, lambda port: port not in {8082, 9080}, lambda _: "node (process 77)")
    assert str(rejection.value) == (
        "Port 8082 (notify) is in use by node (process 77).\n"
        "Stop that program, or move all ports: PORT_BASE=10080 make dev"
    )


# .env


@pytest.mark.parametrize("line", ["no equals sign", "1NAME=x", "NAME='open"])
def test_a_line_that_cannot_be_read_is_named_without_its_value(line: str) -> None:
    with pytest.raises(dotenv.DotenvFault, match=r"\.env:2:") as fault:
        dotenv.parse_dotenv(f"\n{line}\n", ".env")
    assert "open" not in str(fault.value)


def test_a_key_over_several_lines_without_quotes_says_how_to_store_it() -> None:
    with pytest.raises(
        dotenv.DotenvFault, match=r"\.env:2: a value of several lines must be in quotes; or store it with"
    ) as fault:
        dotenv.parse_dotenv("KEY=-----BEGIN PRIVATE KEY-----\nhidden+/\n-----END PRIVATE KEY-----\n", ".env")
    assert "hidden" not in str(fault.value)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("e63-pw=hidden", ". A name has capital letters, digits and underscores: write E63_PW"),
        ("1NAME=hidden", ". A name has capital letters, digits and underscores"),
        ("hidden", ""),
    ],
)
def test_a_faulty_name_is_shown_as_it_has_to_be_written(line: str, advice: str) -> None:
    with pytest.raises(dotenv.DotenvFault) as fault:
        dotenv.parse_dotenv(line, ".env")
    assert str(fault.value) == f".env:1: a line must be NAME=value, or a comment after #{advice}"


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NAME=value\n", encoding="utf-8-sig")
    assert dotenv.read_dotenv(tmp_path / ".env") == {"NAME": "value"}
    assert not list(dotenv.dotenv_warnings(tmp_path / ".env", {}, set()))


COMMENT = (
    ":1: A_PW: the rest after ` #` is read as a comment. If it belongs to the value, put both in quotes; if not, the "
)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("A_PW=hidden\n\nA_PW=other", ":1: A_PW has another value in line 3: that of line 3 is used"),
        ("A_PW=hidden #rest", f"{COMMENT}value alone"),
        ("A_PW='hidden #rest'", None),
        ("A_PW=hidden # set 2026-11-30", None),
        ("A_PW=A_PW=hidden", ":1: A_PW: the value begins with `A_PW=`: write the name once"),
        ("A_PW=“hidden”", ":1: A_PW: the value begins with a typographic quotation mark."),
        ("A_PW='$HIDDEN_PW'", ":1: A_PW: a variable or command in the value is not replaced"),
        ("A_PW='$(cat hidden)x'", ":1: A_PW: a variable or command in the value is not replaced"),
        ("A_PW='<your hidden one>'", ":1: A_PW: the value is in angle brackets, as a placeholder is."),
        ("A_PW='hidden;'", ":1: A_PW: the value ends in `;`. Remove it, unless it belongs to the value"),
        (
            "A_PW='Bearer hidden'",
            ":1: A_PW: the value begins with `Bearer `. Write only what is after it, unless the secret is a "
            "header's whole value",
        ),
    ],
)
def test_what_is_rare_in_dotenv_is_a_warning_without_the_value(tmp_path: Path, text: str, warning: str | None) -> None:
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8")
    found = list(dotenv.dotenv_warnings(path, {}, set()))
    assert len(found) == (warning is not None)
    assert all(each.text.startswith(f"{path}{warning}") and "hidden" not in each.text for each in found)


def test_a_secret_that_the_shell_overrides_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A_PW=one\nB_PW=one\nPORT=1\n", encoding="utf-8")
    shell = {"A_PW": "other", "B_PW": "one", "PORT": "2", "C_PW": "two"}
    found = list(dotenv.dotenv_warnings(path, shell, {"A_PW", "B_PW", "C_PW"}))
    assert [each.text for each in found] == ["A_PW: the shell's value is used, and .env has another one"]


def test_a_file_of_secrets_that_others_may_read_becomes_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.touch(0o644)
    dotenv.make_dotenv_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_added_keeps_what_stands_there_and_is_readable_by_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OLD='as it was'")
    dotenv.add_to_dotenv(path, {"NEW": "value"}, "made up")
    assert path.read_text() == "OLD='as it was'\n# made up\nNEW=value\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_that_a_full_disk_cuts_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OLD=1\n", encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(dotenv.DotenvFault, match=r"\.env cannot be written: "):
            dotenv.add_to_dotenv(path, {"NEW": "a-secret-that-is-cut"}, "made up")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text(encoding="utf-8") == "OLD=1\n"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.just("-----BEGIN\nline\n-----END\n"))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("env") / ".env"
    dotenv.add_to_dotenv(path, {"NAME": value}, "made up")
    assert dotenv.parse_dotenv(path.read_text(), ".env") == {"NAME": value}


PEM = "-----BEGIN PRIVATE KEY-----\nMIIE$(id)`id`\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("value", [PEM, "it's $HOME\nand \\n"])
def test_a_shell_reads_from_dotenv_what_dev_reads(tmp_path: Path, value: str) -> None:
    """The README has people source it."""
    path = tmp_path / ".env"
    dotenv.add_to_dotenv(path, {"NAME": value, "NEXT": "1"}, "made up")
    script = f'set -eu; . {path}; printf %s_ "$NAME"; printf %s "$NEXT"'
    sourced = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert sourced.stdout == f"{value}_1"
    assert dotenv.read_dotenv(path) == {"NAME": value, "NEXT": "1"}


# Secrets


def test_every_weak_secret_is_named_and_none_is_shown() -> None:
    environ = {"ONE": "changeme", "TWO": "", "THREE": "whsec_"}
    with pytest.raises(WeakSecret) as fault:
        find_missing(["one", "two", "three"], environ)
    assert [line.split()[1] for line in str(fault.value).splitlines()] == ["'one'", "'two'", "'three'"]
    assert "changeme" not in str(fault.value)
