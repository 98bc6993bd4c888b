"""The first values of missing secrets: from the environment, random, or typed by the operator."""

from collections.abc import Mapping, Sequence
from typing import Final

from deploy.requests.sources import auth_entries, compiled_sources
from deploy.secrets.needs import Need
from deploy.secrets.rotation import InvalidValue, joined, random_text, validated_values
from deploy.terminal.command_line import CommandError, Questions
from shared.jsontext import JsonObject
from shared.secrets import variable_name

OPERATORS_CHOICE: Final = frozenset({"basic", "header", "bearer", "path", "query"})
"""Auth schemes whose secret the operator may choose. The sender may determine the secret of a signature."""


def first_values(
    missing: Sequence[Need], receive: JsonObject, shell: Mapping[str, str], ask: Questions, where: str
) -> tuple[dict[str, str], list[str]]:
    """Return the texts by name, and the names of the random ones. An optional secret has a value only in the shell.

    `receive` is its slice. `where` are the options that find the deployment in printed commands.
    Raises CommandError, which lists every missing secret with what to do.
    """
    found = {need.name: _checked(need, shell[variable_name(need.name)]) for need in missing if _is_set(need, shell)}
    lacking = [need for need in missing if need.name not in found and not need.is_optional]
    generated = [need for need in lacking if is_generated(need, receive)]
    found |= {need.name: _random(need) for need in generated}
    prompted = [need for need in lacking if need.name not in found]
    if len(prompted) > ask.left:
        raise CommandError(_how_to_set(prompted, where))
    values = {need.name: _ask_value(need, ask, where) for need in prompted}
    random = [*(need.name for need in generated), *(need.name for need in prompted if not values[need.name])]
    texts = {need.name: values[need.name] or _random(need) for need in prompted}
    return {**found, **texts}, sorted(random)


def _is_set(need: Need, shell: Mapping[str, str]) -> bool:
    return bool(shell.get(variable_name(need.name)))


def is_generated(need: Need, receive: JsonObject) -> bool:
    """Return whether a first deployment generates the secret without a question."""
    is_free = need.readers == ("receive",) and need.name in _free_choices(receive)
    return need.is_signing_key or need.is_internal or is_free


def _free_choices(receive: JsonObject) -> frozenset[str]:
    schemes = [scheme for source in compiled_sources(receive).values() for scheme in auth_entries(source)]
    signed = {str(scheme.get("secret")) for scheme in schemes if scheme.get("scheme") not in OPERATORS_CHOICE}
    return frozenset(str(scheme.get("secret")) for scheme in schemes) - signed


def _ask_value(need: Need, ask: Questions, where: str) -> str:
    """Return the typed text; empty for a random value, if that can serve."""
    hint = "; press Enter for a random value" if need.can_be_random else ""
    uses = ", ".join(need.uses)
    text = ask.ask_secret(
        f"Secret {need.name}, for {uses} (not shown while you type{hint})", _how_to_set([need], where)
    )
    if not text and need.can_be_random:
        return ""
    return _checked(need, text)


def _checked(need: Need, text: str) -> str:
    try:
        return joined(validated_values(text, need.schemes, need.least_characters))
    except InvalidValue as error:
        raise CommandError(f"secret {need.name}: {error}") from error


def _random(need: Need) -> str:
    return random_text(need.schemes)


def _how_to_set(missing: Sequence[Need], where: str) -> str:
    """Return the commands that set the secrets, and their variables, which a shell or a CI may have already."""
    lines = [f"  .venv/bin/hookchain secrets set {need.name} {where}  # {', '.join(need.uses)}" for need in missing]
    variables = ", ".join(variable_name(need.name) for need in missing)
    count = "a secret is missing" if len(missing) == 1 else f"{len(missing)} secrets are missing"
    return "\n".join(
        [
            f"nothing was changed: {count}. Set it with"
            if len(missing) == 1
            else f"nothing was changed: {count}. Set them with",
            *lines,
            f"or in the environment: {variables}",
        ]
    )
