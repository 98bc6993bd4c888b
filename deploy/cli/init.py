"""`hookchain init`: write deploy/hookchain.yaml from a recipe, after three questions or from options."""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, parser, run_command
from deploy.config.checkout import OWN_CONFIG, ROOT
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.terminal.command_error import CommandError
from deploy.terminal.help_text import listed
from shared.did_you_mean import did_you_mean

RECIPES: Final = ROOT / "deploy" / "recipes"
DETAILS: Final = """\
It asks which recipe to use, where mail goes, and which address mail comes from. Without a terminal, --recipe and --to
answer. A recipe without mail needs neither address. It never overwrites a file."""
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_RECIPIENTS: Final = re.compile(r"\[[^\]\n]*@example\.com[^\]\n]*\]")
_PERSON: Final = re.compile(r"\bemail: [^\s,}]+@example\.com\b")
_MORE_RECIPIENTS: Final = re.compile(r"^ +(?:cc|bcc|reply_to): .*\n", re.MULTILINE)
_SENDER: Final = re.compile(r"^ +from: +[^ @]+@.*\n", re.MULTILINE)
_EMAIL_BLOCK: Final = re.compile(r"^( +)email:\n", re.MULTILINE)


def main(arguments: list[str]) -> int:
    example = "hookchain init --recipe push-to-one-line --to team@example.com"
    codes = "0 written, 1 the file exists or an answer is missing, 2 usage error"
    command = parser("init", example, details=DETAILS, exit_codes=codes)
    command.add_argument("--recipe", metavar="NAME", help="start from this recipe of deploy/recipes")
    command.add_argument("--to", metavar="ADDRESS", help="send mail to this address")
    command.add_argument("--from", dest="sender", metavar="ADDRESS", help="send mail from this address [--to]")
    command.add_argument(
        "--out", metavar="FILE", type=Path, default=ROOT / OWN_CONFIG, help=f"write FILE [{OWN_CONFIG}]"
    )
    options = command.parse_args(arguments)
    return run_command("init", lambda: _run(options), OSError)


def _run(options: argparse.Namespace) -> int:
    out: Path = options.out
    if out.exists():
        raise CommandError(f"{out} exists and is not overwritten. Change it, or name another file with --out.")
    known = recipes()
    is_asking = sys.stdin.isatty()
    if options.recipe is None and is_asking:
        print("\n".join(["Recipes:", *listed(known), ""]))
    recipe = _answer(options.recipe, "Which recipe?", "--recipe", is_asking)
    if recipe not in known:
        names = ", ".join(known)
        raise CommandError(f"there is no recipe {recipe!r}{did_you_mean(recipe, known)}. There are: {names}")
    to, sender = _addresses(options, is_asking) if sends_mail(recipe) else ("", "")
    text = configuration(recipe, to, sender)
    compile_config(parse_config(text, str(out), out.parent))
    with out.open("x", encoding="utf-8") as file:
        file.write(text)
    print(f"Wrote {out} from the recipe {recipe}. Next: make dev, then hookchain sources")
    return DONE


def recipes() -> dict[str, str]:
    """Return each recipe's name and its first line, which says what it does."""
    files = sorted(RECIPES.glob("*/hookchain.yaml"))
    return {file.parent.name: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for file in files}


def sends_mail(recipe: str) -> bool:
    return _EMAIL_BLOCK.search((RECIPES / recipe / "hookchain.yaml").read_text(encoding="utf-8")) is not None


def configuration(recipe: str, to: str, sender: str) -> str:
    """Return the recipe with these addresses. Its tests are left out: they need the samples beside it."""
    text = (RECIPES / recipe / "hookchain.yaml").read_text(encoding="utf-8")
    text = text.partition("\ntests:\n")[0].rstrip() + "\n"
    text = _MORE_RECIPIENTS.sub("", text)
    text = _RECIPIENTS.sub(lambda _: f"[{_quoted(to)}]", text)
    text = _PERSON.sub(lambda _: f"email: {_quoted(to)}", text)
    text, found = _SENDER.subn("", text)
    if sender := sender or (to if found else ""):  # where `to` names a person, there is no other sender
        text = _EMAIL_BLOCK.sub(lambda found: f"{found[0]}{found[1]}  from: {_quoted(sender)}\n", text)
    return text


def _addresses(options: argparse.Namespace, is_asking: bool) -> tuple[str, str]:
    """Return where mail goes and where it comes from; the second is empty where none is given."""
    to = _address(_answer(options.to, "Which address does mail go to?", "--to", is_asking), "--to")
    sender = options.sender
    if sender is None and is_asking:
        sender = input(f"Which address does mail come from? [{to}] ").strip()
    return to, _address(sender, "--from") if sender else ""


def _answer(answer: str | None, question: str, option: str, is_asking: bool) -> str:
    if answer is None and is_asking:
        try:
            answer = input(f"{question} ").strip()
        except EOFError:
            answer = None
    if not answer:
        raise CommandError(f"{option} is missing, and there is no terminal to ask on" if not is_asking else "no answer")
    return answer


def _address(text: str, option: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise CommandError(f"{option}: must be one mail address; got {text!r}")
    return text


def _quoted(address: str) -> str:
    return address if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.@+_-]*", address) else '"' + address + '"'
