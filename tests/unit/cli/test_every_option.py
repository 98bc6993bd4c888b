"""Every command and option, walked from the parsers: an option changes the answer or is rejected, as are bad values."""

import argparse
import io
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.command import whole_number_option
from deploy.cli.main import COMMANDS
from deploy.terminal.command_line import CommandParser
from tests.fakes.command import exit_code
from tests.fakes.kept import Kept

ACTIONS: Final = {
    "events": ("list", "show", "replay"),
    "dead-letters": ("list", "show", "replay", "drop"),
    "secrets": ("list", "set", "rotate"),
    "tenants": ("list", "show", "set", "delete", "import"),
    "endpoints": ("list", "show", "disable", "enable", "import"),
    "event-types": ("list", "show", "import", "export", "docs"),
    "api-keys": ("create", "list", "rotate", "delete"),
    "hooks": ("plan", "apply", "remove"),
}
LEAVES: Final = tuple((name, action) if action else (name,) for name in COMMANDS for action in ACTIONS.get(name, ("",)))
ONLY_VALUES: Final = frozenset(
    {"dev", "inspect", "bundle", "plan-gcp", "plan-aws", "deploy-gcp", "deploy-aws", "destroy-gcp", "destroy-aws"}
    | {"rollback-gcp", "rollback-aws", "serve", "mcp"}
)
"""Commands that start, deploy or bundle something: only bad values are tried, which are rejected before that."""
POSITIONAL: Final = {
    ("providers",): ["github"],
    ("steps",): ["drop"],
    ("destinations",): ["webhook"],
    ("trigger",): ["github"],
    ("send",): ["http://127.0.0.1:9/shop", "a=b"],
    ("link",): ["links", "a=b"],
    ("sources",): ["shop"],
    ("step",): ["drop: [data.a]"],
    ("secrets", "set"): ["shop-key"],
    ("secrets", "rotate"): ["shop-key"],
    ("explain",): ["--source", "shop"],
    ("forget",): ["--where", "type == 'x'", "--dry-run"],
    ("resume",): ["people"],
    ("init",): ["--recipe", "password-created", "--to", "a@example.com", "--out", "made.yaml"],
    ("tenants", "import"): ["rows.csv"],
    ("endpoints", "import"): ["rows.csv"],
    ("event-types", "import"): ["rows.csv"],
    ("event-types", "docs"): ["--out", "docs"],
    ("endpoints", "show"): ["acme:ep_1"],
    ("endpoints", "disable"): ["acme:ep_1"],
    ("endpoints", "enable"): ["acme:ep_1"],
}
BY_METAVAR: Final = {
    **{"DESTINATION": "people", "TENANT": "acme", "ID": "e1e1e1e1", "NAME": "shop", "SECONDS": "1", "TIME": "1h"},
    **{"FILE": "file", "FOLDER": "made", "N": "1", "PORT": "9999", "'K: V'": "a: b", "URL": "http://127.0.0.1:9/shop"},
    **{"EVENTS": "1", "ENDPOINTS": "1", "ANSWER_SECONDS": "1", "ADDRESS": "a@example.com", "FIELD": "a=b"},
    **{"LINE": "curl http://localhost:8080/shop", "KEY=VALUE": "a=b", "LIST": "view", "EXPR": "type == 'x'"},
}
BY_OPTION: Final = {"--config": "hookchain.yaml", "--env-file": "env", "--state": "state", "--from": "192.0.2.7"}
BAD: Final = {
    "SECONDS": ("-1", "0", "nan", "inf", "1e400", "x", "1h"),
    "ANSWER_SECONDS": ("-1", "nan", "inf", "1e400", "x"),
    "EVENTS": ("-1", "nan", "1e400", "x"),
    "ENDPOINTS": ("-1", "nan", "x"),
    "TIME": ("-1h", "x", "nan", "1e400"),
    "N": ("-1", "nan", "x", "1e400", "99999999999"),
    "PORT": ("-1", "0", "70000", "x", "1.5"),
    "ADDRESS:PORT": ("443", ":443", "0.0.0.0", "0.0.0.0:0", "0.0.0.0:70000", "0.0.0.0:x"),
}
"""Values that no option with this metavar accepts."""
MAY_BE_EMPTY: Final = frozenset({"--data", "--description", "--email", "--group", "--name"})
BAD_BY_OPTION: Final = {
    "--for": ("5000d", "0s"),
    "--expires": ("0s",),
    "--since": ("0s",),
    "--keep": ("11",),
    "--text": (" ", '"-"', "*"),
    "--port-base": ("0", "65530", "99999", "x"),
    "--env-file": ("none.env", "."),
}
CREATES_ENV_FILE: Final = frozenset({"dev", "secrets", "trigger", "deploy-gcp", "deploy-aws"})
SHARED: Final = frozenset({"config", "env_file", "state", "platform", "project", "prefix", "stack", "region"})
EARLY: Final = re.compile(
    "no `hookchain dev` runs|has no log|no endpoints|.endpoints.: .]|Nothing was imported|CloudEvent has no 'id'|"
    "is not overwritten|no event matches|no dead letters?( matches|$)|must be one of json|must name a column|"
    "is already paused or disabled|no API key|no tenant|no source has `hook`|overrides .env"
)
"""Why a command ends before it reads every option, because this world lacks something."""
PYTHON: Final = re.compile(r"Traceback|\b(?:float|int|str|PosixPath|NoneType|[A-Z]\w+(?:Error|Exception))\b|\bObject\b")
CONFIG: Final = """
sources:
  shop: {auth: {scheme: hmac, header: X-Sig, secret: shop-key}}
  links: {methods: [GET], auth: {scheme: link, secret: link-key}}
  github: {provider: github, secret: github-secret}
routes: [{name: all, to: [people, customers]}]
destinations:
  people: {email: {to: ann@example.com}}
  customers: {subscribers: {tenant: data.account, unknown_tenant: ignore}}
subscribers: {}
"""


class Recorded(argparse.Namespace):
    """Options that record which of them the command reads."""

    def __getattribute__(self, name: str) -> object:
        if sys._getframe(1).f_globals["__name__"] != "argparse":
            READ.update({name, "rate"} if name == "__dict__" else {name})  # a dry run prints all that was given
        return object.__getattribute__(self, name)


READ: Final[set[str]] = set()
PARSERS: Final[list[argparse.ArgumentParser]] = []


@pytest.fixture(autouse=True)
def world(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.dead_letter(kept.event("e1e1e1e1"))
    for name, text in (("hookchain.yaml", CONFIG), ("env", "A=b\n"), ("file", "{}"), ("rows.csv", "id\nacme\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT_BASE", "10")  # not those of a `hookchain dev` that runs here: no command may send to it
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    # No command can write there, so none leaves a secret to the next one.
    monkeypatch.setenv("HOOKCHAIN_ENV_FILE", str(tmp_path / "no folder" / "env"))
    for secret in ("SHOP_KEY", "LINK_KEY", "GITHUB_SECRET", "SUBSCRIBERS_KEY"):
        monkeypatch.setenv(secret, f"{secret} long and random, 0123456789")
    monkeypatch.setattr(argparse, "Namespace", Recorded)
    monkeypatch.setattr(CommandParser, "print_help", lambda parser, file=None: PARSERS.append(parser))


def run(*arguments: str) -> int | str | None:
    READ.clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{}")))
        return exit_code(*arguments)


def options_of(leaf: tuple[str, ...]) -> list[argparse.Action]:
    assert exit_code(*leaf, "--help") == 0
    return [each for each in PARSERS[-1]._actions if each.option_strings and each.dest not in {"help", "follow"}]


def given(action: argparse.Action) -> list[str]:
    """Return the option as a command line has it, with a value that it accepts."""
    name = action.option_strings[-1] if action.option_strings else ""
    if action.nargs == 0:
        return [name]
    chosen = [str(each) for each in action.choices or ()]
    value = BY_OPTION.get(name) or (chosen or [BY_METAVAR.get(str(action.metavar or action.dest.upper()), "x")])[-1]
    return [name, value] if name else [value]


def base(leaf: tuple[str, ...], *beside: argparse.Action) -> list[str]:
    """Return the command with what it requires, without the options that are given beside it."""
    if leaf in POSITIONAL:
        return [*leaf, *POSITIONAL[leaf]]
    # Python 3.11 says of a positional that may be missing that it is required.
    required = [each for each in PARSERS[-1]._actions if each.required and each.nargs != "*" and each not in beside]
    return [*leaf, *(word for each in required for word in given(each))]


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf[0] not in ONLY_VALUES], ids=" ".join)
def test_each_option_and_each_two_change_the_answer_or_are_rejected(
    leaf: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    options = options_of(leaf)
    own = [each for each in options if each.dest not in SHARED]
    without_effect: list[str] = []
    for chosen in [*((each,) for each in options), *combinations(own, 2)]:
        line = [word for each in chosen for word in given(each)]
        code = run(*base(leaf, *chosen), *line)
        output, error = capsys.readouterr()
        assert code in {0, 1, 2, 3, 4}, line
        assert not PYTHON.search(error), error
        if code != 2 and not EARLY.search(f"{error}{output}") and not {each.dest for each in chosen} <= READ:
            without_effect.append(f"{' '.join(line)}: {code} {error}")
    assert without_effect == []


@pytest.mark.parametrize("leaf", LEAVES, ids=" ".join)
def test_a_value_that_is_impossible_is_a_usage_error_in_plain_words(
    leaf: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for option in [each for each in options_of(leaf) if each.nargs != 0]:
        name, metavar = option.option_strings[-1], str(option.metavar or option.dest.upper())
        empty = () if name in MAY_BE_EMPTY else ("",)
        no_text = () if metavar in {"FILE", "FOLDER"} else ("\udcff",)
        own = () if name == "--env-file" and leaf[0] in CREATES_ENV_FILE else BAD_BY_OPTION.get(name, ())
        for value in (*empty, *no_text, *own, *BAD.get(metavar, ())):
            code = run(*base(leaf, option), f"{name}={value}")
            error = capsys.readouterr().err
            assert code == 2, (name, value, error)
            assert not PYTHON.search(error), (name, value, error)


@pytest.mark.parametrize("text", ["6", "-1", "", "٣", "0000000001999", "1" * 5_000])
def test_a_number_that_an_option_does_not_take_is_refused_however_it_is_written(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number from 0 to 5"):
        whole_number_option(0, 5)(text)
    assert whole_number_option(0, 5)("0" * 5_000 + "5") == 5
