"""Help fits a terminal of 80 columns, but for lines that are there to be copied."""

import argparse

import pytest

from deploy.cli.main import COMMANDS, main, usage
from deploy.terminal.help_text import HelpText, listed

LONG = "A sentence of help that a terminal of eighty columns has to part, with deploy-gcp and --platform in its midst."


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _help_of(epilog: str) -> str:
    return argparse.ArgumentParser("x", epilog=epilog, formatter_class=HelpText).format_help()


def test_prose_is_parted_where_the_terminal_ends() -> None:
    text = _help_of(LONG)
    assert max(map(len, text.splitlines())) <= 80
    assert LONG in " ".join(text.split())


def test_what_is_indented_stays_as_it_is_written() -> None:
    example = f"  hookchain send '{LONG}'"
    assert f"\nexamples:\n{example}\n  one more\n" in _help_of(f"examples:\n{example}\n  one more\n\n{LONG}")


def test_a_name_with_a_dash_is_not_parted() -> None:
    assert "\n".join(listed({"x": f"{'a' * 66} destroy-gcp"})).endswith("\n     destroy-gcp")


def test_the_list_of_commands_fits_and_lists_each() -> None:
    lines = usage().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line[:3].strip()] == ["usage:", *COMMANDS, "hookchain"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_but_for_what_is_to_be_copied(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    too_long = [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]
    assert all(line.startswith(("  hookchain ", "    ")) for line in too_long), too_long
