"""Whatever the network and Google do, each delivery is in the sheet and in the document once."""

import asyncio
import random
from types import ModuleType

import pytest

from functions.notify.destinations import sheet
from functions.notify.destinations.document import document
from shared.delivery import Delivered, Delivery, RetryLater, Unknown
from shared.jsontext import JsonObject
from tests.google_documents import Document, error
from tests.google_workspace import Fault, Workspace
from tests.unit.notify.google_kinds import attempted, connected, delivery_with

LOG = "1ExampleOfALog"
SETTINGS: dict[str, tuple[ModuleType, JsonObject]] = {
    "sheet": (
        sheet,
        {"spreadsheet": "1ExampleOfASpreadsheet", "sheet": "Signups", "columns": {"N": "data.n"}},
    ),
    "section": (document, {"append_to": LOG, "markdown": "{{ data.n }}"}),
    "new": (document, {"markdown": "{{ data.n }}", "folder": "1ExampleOfAFolder"}),
}
FAULTS: tuple[Fault, ...] = ("lost", "cut", "unreachable", error(429), error(500), error(503))


def written(workspace: Workspace) -> list[str]:
    made = [each.text for each in workspace.documents.by_id.values() if each.file]
    section = workspace.documents.by_id[LOG].text.split("\n")
    rows = [str(row[0]) for row in workspace.sheets["Signups"][1:]]
    return sorted(text.strip() for text in (*made, *section, *rows) if text.strip())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", SETTINGS)
async def test_each_delivery_is_written_once(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "INTERVAL_SECONDS", 0.0)
    dice, workspace = random.Random(seed), Workspace()
    workspace.documents.by_id[LOG] = Document()
    kind, settings = SETTINGS[name]
    processes = [connected(kind, workspace, settings) for _ in range(2)]

    async def deliver(delivery: Delivery) -> None:
        for number in range(1, 200):
            outcome = await attempted(dice.choice(processes), delivery, number)
            if isinstance(outcome, Delivered):
                return
            assert isinstance(outcome, RetryLater | Unknown), outcome
        raise AssertionError("it was never delivered")

    for _ in range(60):
        workspace.fail(dice.choice(("GET", "POST", "PUT", "POST")), dice.choice(FAULTS))
    dice.shuffle(workspace.faults)
    await asyncio.gather(*[deliver(delivery_with({"n": f"n{number}"}, number)) for number in range(25)])

    assert written(workspace) == sorted(f"n{number}" for number in range(25))
