"""The command itself: where it runs, what it says if it cannot, and what it says of a wrong argument."""

import importlib
import tomllib
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from deploy.cli import main as main_module
from deploy.cli.command import help_texts
from deploy.cli.main import COMMANDS, usage
from deploy.cli.pause import CACHE_TIME
from deploy.config.local_ports import Ports
from deploy.config.running_dev import PRODUCTION_FILE, DevFile, write_dev_file
from tests.fakes.command import Command, exit_code
from tests.fakes.kept import Kept
from tests.fakes.receiver import http_answer, receiver


def test_outside_a_checkout_help_and_version_still_work(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_module, "_CHECKOUT", tmp_path)
    command("--help")
    command("--version")
    command("lint", code=1)
    assert command.error.startswith("hookchain: must run from a checkout; ")


def test_a_missing_package_is_named_with_its_install_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")

    monkeypatch.setattr(importlib, "import_module", lacking)
    command("lint", code=1)
    [line] = command.error.splitlines()
    assert line.startswith("hookchain: 'pydantic' is not installed. In the checkout, run: pip install --editable ")
    assert line.endswith("[local]' (or `make dev`, which does it)")


def test_a_fault_of_our_own_imports_is_not_blamed_on_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'deploy.nowhere'", name="deploy.nowhere")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        exit_code("lint")


def test_an_action_without_its_command_names_the_commands_that_have_it(command: Command) -> None:
    command("replay", "01JZ", code=2)
    assert command.error == "hookchain: there is no command 'replay'; it is an action of events, dead-letters\n"


def test_an_option_without_an_action_is_answered_with_the_actions(command: Command) -> None:
    command("events", "--since", "1h", code=2)
    assert command.error.endswith("ACTION is missing: list, show or replay\n")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_list_of_commands_fits_and_lists_each() -> None:
    lines = usage().splitlines()
    assert max(map(len, lines)) <= 80
    listed_names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert listed_names == [*COMMANDS, "hookchain"]


def test_the_version_is_the_projects(command: Command) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert command("--version") == f"hookchain {project['version']}\n"


EVERY_HELP = [name.split() for name in dict.fromkeys([*COMMANDS, *help_texts()])]


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_help_fits_names_its_exit_codes_and_ends_with_an_example(command: Command, arguments: list[str]) -> None:
    text = command(*arguments, "--help")
    too_long = [line for line in text.splitlines() if len(line) > 80]
    assert all(line.startswith(("  hookchain ", "    ")) for line in too_long), "it is to be copied"
    assert "exit codes: 0 " in text
    lines = text.rpartition("\nexample")[2].splitlines()
    assert lines[0] in {":", "s:"}
    assert lines[1].startswith(f"  hookchain {arguments[0]}")
    assert all(line.startswith("  ") for line in lines[1:])


def test_the_help_says_how_long_a_pause_may_go_unnoticed() -> None:
    assert all(f"{CACHE_TIME} to notice" in help_texts()[name]["details"] for name in ("pause", "resume"))


# Usage errors


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lint --confg x.yaml", "unrecognized arguments: --confg x.yaml; did you mean --config?"),
        ("lint mine.yaml", "unrecognized arguments: mine.yaml; did you mean --config mine.yaml?"),
        ("events", "ACTION is missing: list, show or replay"),
        ("events lst", "there is no action 'lst'; did you mean 'list'?"),
        (
            "trigger github --list --to=http://localhost",
            "argument --to: has no effect with --list; leave one of them out",
        ),
        ("sources shop --snippet=curl --json", "argument --json: has no effect with --snippet; leave one of them out"),
        ("explain --curl x --method PUT", "argument --method: has no effect with --curl; leave one of them out"),
        ("send http://a --bearer --config x", "argument --config: has no effect with --bearer; leave one of them out"),
        ("send http://a --timeout x", "argument --timeout: must be a number of seconds from 0.1 to 3,600; got 'x'"),
        ("events list --since=1h --until=2h", "argument --until: must be a time after --since"),
        ("lint --env-file none.env", "argument --env-file: must be a file that exists; got 'none.env'"),
        ("status --prefix=", "argument --prefix: must not be empty"),
    ],
)
def test_a_wrong_argument_is_a_usage_error_that_names_what_was_meant(command: Command, line: str, message: str) -> None:
    command(*line.split(), code=2)
    assert command.error.endswith(f": error: {message}\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("status --project p", "hookchain status: --project: needs --platform gcp; got --platform local"),
        ("events list --platform aws --state x", "hookchain events list: --state: has no effect with --platform aws"),
        (
            "dead-letters list --code mail_rejectd",
            "--code: there is no code 'mail_rejectd'; did you mean 'mail_rejected'",
        ),
        ("init --recipe push-to-slack --to a@b.example --out x", "--to and --from: have no effect with the recipe"),
    ],
)
def test_so_is_one_that_configuration_or_platform_shows(command: Command, line: str, message: str, kept: Kept) -> None:
    command(*line.split(), code=2)
    assert message in command.error


def test_whoever_sends_to_the_port_of_another_function_or_program_is_told_whose_it_is(
    command: Command, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORM_PASSWORD", "correct horse battery")
    with receiver(http_answer(404, b"<!doctype html>Not found")) as other:
        port = urlsplit(other.url).port or 0

        def error() -> str:
            command("send", other.url, "a=b", "--password", "--secret", "form-password", code=1)
            return command.error

        assert f"Another program answered on port {port}, and no `make dev` runs" in error()
        (kept.folder / PRODUCTION_FILE).touch()
        assert f"Another program answered on port {port}, and no `hookchain serve` runs" in error()
        write_dev_file(kept.folder, DevFile(Ports(8080, port, 1, 2, 3)))
        whose = f"Port {port} is the port of transform, which accepts no events: receive is at http://localhost:8080"
        assert whose in error()
