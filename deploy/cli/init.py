"""`hookchain init`: write deploy/hookchain.yaml from a recipe, after three questions or from options."""

import argparse
import re
import sys
from collections.abc import Callable, Collection
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, parser, run_command
from deploy.config import compiler, config_file
from deploy.config.checkout import OWN_CONFIG, OWN_CONFIGS, ROOT, state_folder
from deploy.config.sections.provider_event_types import known_event_types
from deploy.history.local import running_ports
from deploy.requests.command_lines import program
from deploy.terminal.command_line import CommandError, UsageError, summary_lines
from functions.notify.destinations.email.mail import AddressFault, parse_address
from shared.did_you_mean import did_you_mean

RECIPES: Final = ROOT / "deploy" / "recipes"

# What is looked for in a recipe. Its text is changed, not the document in it, so that its comments stay.
_RECIPIENTS: Final = re.compile(r"\[[^\]\n]*@example\.com[^\]\n]*\]")
_PERSON: Final = re.compile(r"\bemail: [^\s,}]+@example\.com\b")
_MORE_RECIPIENTS: Final = re.compile(r"^ +(?:cc|bcc|reply_to): .*\n", re.MULTILINE)
_SENDER: Final = re.compile(r"^ +from: +[^ @]+@.*\n", re.MULTILINE)
_SENTENCE_END: Final = re.compile(r"(?<=\.) (?=[A-Z])")
_EMAIL_BLOCK: Final = re.compile(r"^( +)email:\n", re.MULTILINE)


def main(arguments: list[str]) -> int:
    command = parser("init")
    command.add_argument("--recipe", metavar="NAME", help="start from this recipe of deploy/recipes")
    command.add_argument("--to", metavar="ADDRESS", help="send mail to this address")
    command.add_argument("--from", dest="sender", metavar="ADDRESS", help="send mail from this address [--to]")
    command.add_argument(
        "--out", metavar="FILE", type=Path, default=ROOT / OWN_CONFIG, help=f"write FILE [{OWN_CONFIG}]"
    )
    options = command.parse_args(arguments)
    return run_command("init", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Ask what the options leave out, write the file, and print what comes next. Return DONE.

    The text is compiled before it is written, so that no faulty file is. Raises CommandError.
    """
    out: Path = options.out
    own = [ROOT / each for each in OWN_CONFIGS]
    for existing in own if out in own else [out]:
        if existing.exists():
            advice = "Change it, or name another file with --out."
            raise CommandError(f"{existing} exists and is not overwritten. {advice}")
    known = recipes()
    is_asking = sys.stdin.isatty()
    if options.recipe is None and is_asking:
        print("\n".join(["Recipes:", *summary_lines(known), ""]))
    recipe = _value(options.recipe, "--recipe", "Which recipe?", is_asking, partial(_known, known))
    if not sends_mail(recipe) and (options.to or options.sender):
        raise UsageError(f"--to and --from: have no effect with the recipe {recipe}, which sends no mail")
    to, sender = _addresses(options, is_asking) if sends_mail(recipe) else ("", "")
    text = configuration(recipe, to, sender)
    parsed = config_file.parse_config(text, str(out), out.parent)
    compiler.compile_config(parsed)
    with out.open("x", encoding="utf-8") as file:
        file.write(text)
    is_running = running_ports(state_folder()) is not None
    use = "The running `make dev` uses it, unless you gave that a --config." if is_running else "Next, run `make dev`."
    print(
        f"Wrote {out} from the recipe {recipe}. {use} "
        f"`{program()} sources` prints the URL and the secret for each sender."
    )
    for line in event_type_offers(parsed):
        print(line)
    return DONE


def event_type_offers(file: config_file.ConfigFile) -> list[str]:
    """Return a line for each provider of a source whose event types are known."""
    keys = dict.fromkeys(str(each["provider"]) for each in file.mappings("sources").values() if "provider" in each)
    return [
        f"`{program()} providers {key}` lists the event types that a route from {known.provider} can name in `types`."
        for key in keys
        if (known := known_event_types().get(key))
    ]


def recipes() -> dict[str, str]:
    """Return each recipe's name and the first sentence of its comment, which says what it does."""
    files = sorted(RECIPES.glob("*/hookchain.yaml"))
    return {file.parent.name: _first_sentence(file.read_text(encoding="utf-8")) for file in files}


def _first_sentence(text: str) -> str:
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), text.splitlines()))
    return _SENTENCE_END.split(comment, maxsplit=1)[0]


def _known(known: Collection[str], recipe: str) -> str:
    """Return the recipe. Raises UsageError if it does not exist."""
    if recipe not in known:
        raise UsageError(f"there is no recipe {recipe!r}{did_you_mean(recipe, known)}")
    return recipe


def sends_mail(recipe: str) -> bool:
    """Return whether the recipe has a destination that sends mail, and so needs an address."""
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
    """Return the addresses of the recipient and of the sender. The second is empty if none is given."""
    to = _value(options.to, "--to", "Which address does mail go to?", is_asking, partial(_address, "--to"))
    if options.sender is None and not is_asking:
        return to, ""
    question = f"Which address does mail come from? [{to}]"
    return to, _value(options.sender, "--from", question, is_asking, lambda text: text and _address("--from", text))


def _value(given: str | None, option: str, question: str, is_asking: bool, check: Callable[[str], str]) -> str:
    """Return the option's value, or the first answer that passes the check. Raises CommandError."""
    if given is not None or not is_asking:
        if not given:
            raise UsageError(f"{option} is missing, and there is no terminal to ask on")
        return check(given)
    while True:
        try:
            return check(input(f"{question} ").strip())
        except CommandError as fault:
            print(fault)
        except EOFError as error:
            raise CommandError("no answer") from error


def _address(option: str, text: str) -> str:
    """Return the text. Raises UsageError if it is not one mail address."""
    try:
        is_bare = "<" not in text and text == text.strip()
        is_address = is_bare and "." in parse_address(text).domain
    except AddressFault:
        is_address = False
    if not is_address:
        raise UsageError(f"{option}: must be one mail address; got {text!r}")
    return text


def _quoted(address: str) -> str:
    """Return the address as YAML, quoted if a character has a meaning there. It has no quotation mark or backslash."""
    return address if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.@+_-]*", address) else '"' + address + '"'
