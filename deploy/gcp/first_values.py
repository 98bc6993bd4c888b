"""The first values of secrets that are not there yet: from the environment, made at random, or asked for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from deploy.gcp.graph import Deployment
from deploy.gcp.plan import Action
from deploy.gcp.questions import Questions
from deploy.google import names
from deploy.requests.sources import auth_entries, compiled_sources
from deploy.secrets.needs import Need, needs
from deploy.secrets.values import Refused, checked_values, joined, random_text
from deploy.terminal.command_error import CommandError
from shared.jsontext import JsonObject
from shared.secrets import variable_name

OPERATORS_CHOICE: Final = frozenset({"basic", "header", "bearer", "path", "query"})
"""Ways to prove oneself whose secret the operator makes up. A signature's may be the sender's to give."""


def first_values(
    actions: Iterable[Action], deployment: Deployment, shell: Mapping[str, str], ask: Questions, told: str
) -> tuple[dict[str, str], list[str]]:
    """Texts by name, and which of them were made at random. `told` is what commands have to be told of where. Raises
    CommandError: all that is missing, with what to do."""
    wanted = {command.secret for action in actions for command in action.commands if command.secret}
    missing = [need for need in needs(deployment.slices, deployment.environ) if need.name in wanted]
    found = {need.name: _checked(need, shell[variable_name(need.name)]) for need in missing if _is_set(need, shell)}
    receive = deployment.slices["receive"]
    made = [need for need in missing if need.name not in found and is_made_up(need, receive)]
    found |= {need.name: _random(need) for need in made}
    asked = [need for need in missing if need.name not in found]
    if len(asked) > ask.left:
        raise CommandError(_how_to_set(asked, told))
    values = {need.name: _asked(need, ask, told) for need in asked}
    random = [*(need.name for need in made), *(need.name for need in asked if not values[need.name])]
    texts = {need.name: values[need.name] or _random(need) for need in asked}
    return {**found, **texts}, sorted(random)


def _is_set(need: Need, shell: Mapping[str, str]) -> bool:
    return bool(shell.get(variable_name(need.name)))


def is_made_up(need: Need, receive: JsonObject) -> bool:
    """A first deployment makes it at random and asks nobody."""
    return need.readers == ("receive",) and need.name in _chosen_freely(receive)


def _chosen_freely(receive: JsonObject) -> frozenset[str]:
    ways = [way for source in compiled_sources(receive).values() for way in auth_entries(source)]
    signed = {str(way.get("secret")) for way in ways if way.get("scheme") not in OPERATORS_CHOICE}
    return frozenset(str(way.get("secret")) for way in ways) - signed


def _asked(need: Need, ask: Questions, told: str) -> str:
    """Empty: to be made at random, where that can serve."""
    hint = "; Enter makes one at random" if need.can_be_random else ""
    uses = ", ".join(need.uses)
    text = ask.ask_secret(f"Secret {need.name}, for {uses} (it is not shown{hint})", _how_to_set([need], told))
    if not text and need.can_be_random:
        return ""
    return _checked(need, text)


def _checked(need: Need, text: str) -> str:
    try:
        return joined(checked_values(text, need.ways))
    except Refused as refused:
        raise CommandError(f"secret {need.name}: {refused}") from refused


def _random(need: Need) -> str:
    return random_text(need.ways)


def _how_to_set(missing: Sequence[Need], told: str) -> str:
    """Those of a first deployment are often in the environment already, in a shell or a CI."""
    where = f"--platform gcp{told}"
    lines = [f"  .venv/bin/hookchain secrets set {need.name} {where}  # {', '.join(need.uses)}" for need in missing]
    variables = ", ".join(variable_name(need.name) for need in missing)
    first = f"nothing was changed: {_count(len(missing))} first, with"
    return "\n".join([first, *lines, f"or in the environment, as {variables}"])


def _count(number: int) -> str:
    return "a secret is to be set" if number == 1 else f"{number} secrets are to be set"


def where_to_read(name: str, deployment: Deployment) -> tuple[str, ...]:
    """The arguments that print the value."""
    return ("secrets", "versions", "access", "latest", f"--secret={names.secret_id(deployment.target, name)}")
