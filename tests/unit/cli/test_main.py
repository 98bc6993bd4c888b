"""The command itself: where it runs, and what it says if it cannot."""

import argparse
import ast
import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from deploy.cli import main as command
from deploy.cli.main import COMMANDS, main, usage
from deploy.terminal.command_line import HelpText


def test_outside_a_checkout_help_and_version_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_CHECKOUT", tmp_path)
    assert (main(["--help"]), main(["--version"])) == (0, 0)
    assert main(["lint"]) == 1
    assert capsys.readouterr().err.startswith("hookchain: must run from a checkout; ")


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")

    monkeypatch.setattr(importlib, "import_module", lacking)
    assert main(["lint"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("hookchain: 'pydantic' is not installed. In the checkout, run: pip install --editable ")
    assert line.endswith("[local]' (or `make dev`, which does it)")


def test_a_fault_of_our_own_imports_is_not_blamed_on_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'deploy.nowhere'", name="deploy.nowhere")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["lint"])


OWN_FILES = sorted(path for room in ("cli", "terminal", "doctor") for path in Path("deploy", room).glob("*.py"))
BANNED = (
    *("makes no sense", "told", "tells", "tell what", "reckon", "mend", "mended", "anew", "as you say", "so many"),
    *(
        "say aloud",
        "said",
        "made up",
        "makes up",
        "makes it up",
        "give up on",
        "given up on",
        "whom",
        "aloud",
        "shaken",
    ),
)
"""Words and phrases that a plain English text does without."""
VERBS = {
    *("Run", "Write", "Validate", "Send", "Create", "Explain", "List", "Show", "Print", "Serve", "Deliver", "Find"),
    *("Deploy", "Return", "Estimate", "Remove", "Pause", "Resume", "Erase"),
}
OPTION_VERBS = {
    *(
        "accept",
        "pause",
        "add",
        "also",
        "erase",
        "assume",
        "choose",
        "compute",
        "confirm",
        "convert",
        "deliver",
        "do",
        "emulate",
        "end",
        "generate",
    ),
    *("include", "keep", "list", "make", "name", "print", "read", "replay", "roll", "send", "serve", "set", "show"),
    *("sign", "start", "stop", "store", "treat", "use", "write"),
}

LONG = "A sentence of help that a terminal of eighty columns has to part, with deploy-gcp and --platform in its midst."


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _help_of(epilog: str) -> str:
    return argparse.ArgumentParser("x", epilog=epilog, formatter_class=HelpText).format_help()


def test_the_list_of_commands_fits_and_lists_each() -> None:
    lines = usage().splitlines()
    assert max(map(len, lines)) <= 80
    listed_names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert listed_names == [*COMMANDS, "hookchain"]


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert capsys.readouterr().out == f"hookchain {project['version']}\n"


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


WITH_ACTIONS = [[name, action] for name in ("events", "dead-letters") for action in ("list", "show", "replay")]
EVERY_HELP = [*([name] for name in COMMANDS), *WITH_ACTIONS, ["dead-letters", "drop"]]


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_help_fits_but_for_what_is_to_be_copied(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    too_long = [line for line in help_of(arguments, capsys).splitlines() if len(line) > 80]
    assert all(line.startswith(("  hookchain ", "    ")) for line in too_long), too_long


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_help_ends_with_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before, _, after = help_of(arguments, capsys).rpartition("\nexample")
    lines = after.splitlines()
    assert before
    assert lines[0] in {":", "s:"}
    assert lines[1].startswith(f"  hookchain {arguments[0]}")
    assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_help_names_its_exit_codes_and_puts_defaults_in_brackets(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(arguments, capsys)
    assert "exit codes: 0 " in text
    assert "(default" not in text


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_help_is_in_plain_words(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(arguments, capsys).split())
    assert not [banned for banned in BANNED if re.search(rf"\b{banned}\b", text, re.IGNORECASE)]


def test_summaries_are_imperative() -> None:
    first_words = {command.summary.split()[0].rstrip(",") for command in COMMANDS.values()}
    assert first_words <= VERBS


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_the_help_of_an_option_begins_with_an_imperative_verb(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # each option on one line
    options = re.findall(r"^  -\S.*?\s{2,}(\S+) ", help_of(arguments, capsys), re.MULTILINE)
    assert options
    assert set(options) <= OPTION_VERBS


@pytest.mark.parametrize("path", OWN_FILES, ids=str)
def test_messages_are_in_plain_words(path: Path) -> None:
    strings = [
        node.value for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
    ]
    texts = [text for text in strings if isinstance(text, str) and " " in text]
    assert not [text for text in texts if any(re.search(rf"\b{banned}\b", text, re.IGNORECASE) for banned in BANNED)]
