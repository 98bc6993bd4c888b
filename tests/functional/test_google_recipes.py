"""JSON that is posted becomes a row of a sheet, a document and a section of one, each once, as the recipes promise."""

import importlib
from pathlib import Path

import pytest

from deploy.config.compiler import compile_file, secrets_needed
from functions.notify.destination import kind_module
from functions.notify.registry import read_destinations
from shared.delivery import Delivered, Outcome
from tests.in_process.pipeline import Pipeline
from tests.stand_ins.google_documents import Document
from tests.stand_ins.google_workspace import Workspace
from tests.unit.notify.google_kinds import attempted, connected

RECIPES = Path("deploy/recipes")


async def delivered(recipe: str, workspace: Workspace) -> list[Outcome]:
    """Post the recipe's sample. The first answer to each write is lost, so each delivery needs two attempts."""
    slices = compile_file(RECIPES / recipe / "hookchain.yaml", {})
    pipeline = Pipeline(slices, secrets_needed(slices), "a-secret-of-the-recipes-test")
    [source] = pipeline.sources
    sample = (RECIPES / recipe / "sample.json").read_bytes()
    configured = read_destinations(slices["notify"])
    outcomes: list[Outcome] = []
    for delivery in await pipeline.deliveries(source, sample, {"Content-Type": "application/json"}):
        found = configured[delivery.destination]
        if found.kind in {"sheet", "document"}:
            kind = importlib.import_module(kind_module(found.kind))
            destination = connected(kind, workspace, found.settings)
            workspace.faults[:] = [(":append", "lost"), (":batchUpdate", "lost")]
            await attempted(destination, delivery)
            outcomes.append(await attempted(destination, delivery, number=2))
    return outcomes


async def test_json_becomes_a_row_of_a_sheet() -> None:
    workspace = Workspace()

    [outcome] = await delivered("json-to-sheet", workspace)

    assert outcome == Delivered("the row was there already")
    header, row = workspace.sheets["Signups"]
    assert header == ["At", "Name", "E-mail", "Interests", "Answers", "Delivery"]
    assert row[1:5] == ["Grace Hopper", "grace@example.com", "news, events", '{"size":3,"terms":true}']


@pytest.mark.parametrize("again", [False, True])
async def test_json_becomes_a_document_and_a_section(again: bool) -> None:
    workspace = Workspace()
    documents = workspace.documents.by_id
    documents["1ExampleOfATemplate"] = Document("Invoice {{number}}\nTo {{customer}}, {{address}}\n{{total}} EUR\n")
    documents["1ExampleOfADocument"] = Document("Orders\n" if again else "\n")

    outcomes = await delivered("json-to-doc", workspace)

    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    [made] = [each for each in documents.values() if each.file]
    assert made.text == "Invoice A-1027\nTo Grace Hopper, 1 Harbour Road, Sampleton\n249.5 EUR\n"
    assert made.file["name"] == "Invoice A-1027 for Grace Hopper"
    section = "Order A-1027\nGrace Hopper ordered for 249.5:\n4 × Bearing, sealed\n1 × Shaft\n"
    assert documents["1ExampleOfADocument"].text == ("Orders\n" if again else "") + section
