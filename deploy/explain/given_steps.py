"""Steps as a person writes them on a command line: one, a list, or the name of a chain of the configuration."""

from pathlib import Path
from typing import Final

from deploy.config.compiling.step_files import UnreadableFile, with_files
from deploy.config.config_file import parse_config
from deploy.config.faults import ConfigFaults
from functions.transform.chain import Chain, NamedChains
from functions.transform.families import StepModels
from functions.transform.named_chains import unknown_chains
from functions.transform.registry import read_chain
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError
from shared.jsontext import Json
from shared.time_bound import OutOfTime

MAX_TEXT_CHARACTERS: Final = 500


class StepsFault(ValueError):
    """What was written is no chain of steps. Its text has a line for each fault."""


def given_chain(text: str, chains: NamedChains, own: StepModels, folder: Path) -> Chain:
    """`folder` is what files that steps name are relative to. Raises StepsFault."""
    if text in chains:
        return Chain("", chains[text], chains)
    steps = [_with_files(step, own, folder) for step in _written(text, chains)]
    found, faults = read_chain(steps, own)
    faults += unknown_chains(found, chains)
    if faults:
        raise StepsFault("\n".join(map(str, faults)))
    return Chain("", tuple(found), chains)


def fault_text(fault: HookchainError) -> str:
    """Return the detail, followed by the text of the exception that the operator's own step raised.

    A log leaves that text out, because it may quote the event.
    """
    cause = fault.__cause__
    is_own = cause is not None and not isinstance(cause, HookchainError | OutOfTime)
    text = str(cause).partition("\n")[0][:MAX_TEXT_CHARACTERS] if is_own else ""
    return f"{fault.detail}: {text}" if text else fault.detail


def _written(text: str, chains: NamedChains) -> list[Json]:
    if not text.strip():
        raise StepsFault("no step is written: a step is `name: settings`")
    try:
        document = parse_config(text, "the step", Path()).document
    except ConfigFaults as fault:
        raise StepsFault(str(fault)) from fault
    if isinstance(document, str):
        hint = did_you_mean(document, chains) if chains else ""
        raise StepsFault(f"there is no chain {document!r}{hint}; a step is written `name: settings`")
    if isinstance(document, dict):
        return [{name: settings} for name, settings in document.items()]
    return document if isinstance(document, list) else [document]


def _with_files(step: Json, own: StepModels, folder: Path) -> Json:
    if not isinstance(step, dict):
        return step
    try:
        return {name: with_files(settings, name, folder, own) for name, settings in step.items()}
    except UnreadableFile as fault:
        raise StepsFault(str(fault)) from fault
