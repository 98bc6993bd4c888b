"""A chain of steps from the text that an operator types, and the text of its faults."""

from pathlib import Path
from typing import Final

from deploy.config.config_file import ConfigFaults, parse_config
from deploy.config.sections import route
from functions.transform import chain, program, step_classes
from shared import errors, time_bound
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json

MAX_TEXT_CHARACTERS: Final = 500
"""The characters of an exception's text that are shown."""


class StepsFault(ValueError):
    """A text is not a valid chain of steps. The message has a line for each fault."""


def chain_from_text(text: str, chains: chain.NamedChains, own: step_classes.StepClasses, folder: Path) -> chain.Chain:
    """Return the chain of a text: one step, a list of steps, or the name of a chain of the configuration.

    Names of files are relative to `folder`. Raises StepsFault.
    """
    if text in chains:
        return chain.Chain("", chains[text], chains)
    steps = [_with_files(step, own, folder) for step in _steps_in(text, chains)]
    found, faults = program.read_chain(steps, own)
    faults += program.unknown_chains(found, chains)
    if faults:
        raise StepsFault("\n".join(map(str, faults)))
    return chain.Chain("", tuple(found), chains)


def fault_text(fault: errors.HookchainError) -> str:
    """Return the detail, followed by the text of the exception that the operator's own step raised.

    A log leaves that text out, because it may quote the event.
    """
    cause = fault.__cause__
    is_own = cause is not None and not isinstance(cause, errors.HookchainError | time_bound.OutOfTime)
    text = str(cause).partition("\n")[0][:MAX_TEXT_CHARACTERS] if is_own else ""
    return f"{fault.detail}: {text}" if text else fault.detail


def _steps_in(text: str, chains: chain.NamedChains) -> list[Json]:
    """Return the steps as the text has them. Raises StepsFault."""
    if not text.strip():
        raise StepsFault("the step is empty: write `name: settings`")
    try:
        document = parse_config(text, "the step", Path()).document
    except ConfigFaults as fault:
        raise StepsFault(str(fault)) from fault
    if isinstance(document, str):
        hint = did_you_mean(document, chains) if chains else ""
        raise StepsFault(f"there is no chain {document!r}{hint}. Write a step as `name: settings`")
    if isinstance(document, dict):
        return [{name: settings} for name, settings in document.items()]
    return document if isinstance(document, list) else [document]


def _with_files(step: Json, own: step_classes.StepClasses, folder: Path) -> Json:
    if not isinstance(step, dict):
        return step
    try:
        return {name: route.with_files(settings, name, folder, own) for name, settings in step.items()}
    except route.UnreadableFile as fault:
        raise StepsFault(str(fault)) from fault
