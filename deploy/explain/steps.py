"""Steps on the command line: a list of all steps, one step in full, and a chain that is written as text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from deploy.config.compiling.routes import UnreadableFile, with_files
from deploy.config.config_file import parse_config
from deploy.config.faults import ConfigFaults
from deploy.explain.setting_texts import setting_texts, undocumented_settings
from deploy.terminal.output import BOLD, DIM, Screen, listing_lines
from functions.transform.chain import Chain, NamedChains
from functions.transform.families import StepClasses, families
from functions.transform.read_chains import read_chain, unknown_chains
from functions.transform.step import AskingStep, Example, Step
from functions.transform.verifying import step_settings
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError
from shared.jsontext import Json, JsonObject
from shared.time_bound import OutOfTime

MAX_TEXT_CHARACTERS: Final = 500


def step_listing(own: StepClasses, screen: Screen) -> Iterator[str]:
    """Yield the families of steps, with one line for each step."""
    groups = [*families(), ("Your own steps.", own)]
    summaries = [
        (heading, {name: each.summary for name, each in models.items()}) for heading, models in groups if models
    ]
    yield from listing_lines(summaries, screen)
    yield "`hookchain steps NAME` shows a step's settings and an example."


def step_page(name: str, step: type[Step], screen: Screen) -> Iterator[str]:
    yield screen.coloured(name, BOLD) + f": {step.summary}"
    texts = list(setting_texts(step))
    for text in texts:
        yield from ("", *text.splitlines())
    if others := list(undocumented_settings(step_settings(step), " ".join(texts))):
        yield from ("", *others)
    if issubclass(step, AskingStep):
        yield from ("", "It reads something besides the event: a secret, another system, or earlier events.")
    yield from ("", screen.coloured("Example", DIM))
    yield from _example(name, step.example)


def step_document(name: str, step: type[Step]) -> JsonObject:
    example = step.example
    return {
        "name": name,
        "summary": step.summary,
        "settings": step_settings(step).model_json_schema(),
        "example": {"settings": example.settings, "before": example.before, "after": _after(example)},
    }


def _example(name: str, example: Example) -> Iterator[str]:
    yield from _indented(yaml.safe_dump({"steps": [{name: example.settings}]}, sort_keys=False, allow_unicode=True))
    yield f"  before    {json.dumps(example.before, ensure_ascii=False)}"
    yield f"  after     {_result_text(example)}"
    for attribute, value in example.attributes.items():
        yield f"  {attribute.ljust(8)}  {value}"


def _result_text(example: Example) -> str:
    if example.stops:
        return f"nothing: the event is filtered ({example.stops})"
    to = f", which continues in the chain {example.leads_to!r}" if example.leads_to else ""
    variation = ", for example: the value differs each time" if example.varies else ""
    return json.dumps(example.after, ensure_ascii=False) + to + variation


def _after(example: Example) -> Json:
    return {"stops": example.stops} if example.stops else example.after


def _indented(text: str) -> Iterator[str]:
    yield from (f"  {line}" for line in text.splitlines())


class StepsFault(ValueError):
    """A text is not a valid chain of steps. The message has a line for each fault."""


def chain_from_text(text: str, chains: NamedChains, own: StepClasses, folder: Path) -> Chain:
    """Return the chain of a text: one step, a list of steps, or the name of a chain of the configuration.

    Names of files are relative to `folder`. Raises StepsFault.
    """
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


def _with_files(step: Json, own: StepClasses, folder: Path) -> Json:
    if not isinstance(step, dict):
        return step
    try:
        return {name: with_files(settings, name, folder, own) for name, settings in step.items()}
    except UnreadableFile as fault:
        raise StepsFault(str(fault)) from fault
