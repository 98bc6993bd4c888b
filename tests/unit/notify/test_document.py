import asyncio

import pytest

from functions.notify.destinations.document import document
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.errors import Permanent
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject
from tests.google_documents import Document, error
from tests.google_workspace import Fault, Workspace
from tests.unit.notify.google_kinds import attempted, connected, delivery_with

LOG, TEMPLATE, FOLDER = "1ExampleOfALog", "1ExampleOfATemplate", "1ExampleOfAFolder"
SECTION: JsonObject = {"append_to": LOG, "markdown": "## {{ data.title }}\n\n{{ data.text }}"}
INVOICE: JsonObject = {
    "template": TEMPLATE,
    "values": {"customer": "data.name", "total": "data.total"},
    "title": "Invoice for {{ data.name }}",
    "folder": FOLDER,
}
REPORT: JsonObject = {
    "markdown": "# {{ data.title }}\n\n{{ data.text }}",
    "title": "{{ data.title }}",
    "folder": FOLDER,
}
NEWS: JsonObject = {"title": "Pears", "text": "are ripe"}
ADA: JsonObject = {"name": "Ada", "total": 12.5}


@pytest.fixture
def workspace() -> Workspace:
    made = Workspace()
    made.documents.by_id[LOG] = Document()
    made.documents.by_id[TEMPLATE] = Document("To {{customer}}: {{total}} EUR, {{customer}}\n")
    return made


def made_in(workspace: Workspace) -> list[Document]:
    return [each for each in workspace.documents.by_id.values() if each.file]


async def test_a_section_is_added_after_what_is_there(workspace: Workspace) -> None:
    destination = connected(document, workspace, SECTION)
    await attempted(destination, NEWS)

    outcome = await attempted(destination, delivery_with({"title": "Plums", "text": "are next"}, 2))

    assert outcome == Delivered(f"https://docs.google.com/document/d/{LOG}/edit")
    assert workspace.documents.by_id[LOG].text == "Pears\nare ripe\nPlums\nare next\n"
    assert ("Plums", "HEADING_2") in workspace.documents.by_id[LOG].styles


async def test_a_template_is_copied_and_filled(workspace: Workspace) -> None:
    outcome = await attempted(connected(document, workspace, INVOICE), ADA)

    assert isinstance(outcome, Delivered)
    [made] = made_in(workspace)
    assert (made.text, made.file["name"], made.file["parents"]) == (
        "To Ada: 12.5 EUR, Ada\n",
        "Invoice for Ada",
        [FOLDER],
    )
    assert workspace.documents.by_id[TEMPLATE].text.startswith("To {{customer}}")


async def test_markdown_becomes_a_new_document(workspace: Workspace) -> None:
    assert isinstance(await attempted(connected(document, workspace, REPORT), NEWS), Delivered)

    [made] = made_in(workspace)
    assert (made.text, made.file["name"]) == ("Pears\nare ripe\n", "Pears")


async def test_a_placeholder_in_a_value_stays_what_it_is(workspace: Workspace) -> None:
    await attempted(connected(document, workspace, INVOICE), {"name": "{{total}}{{customer}}", "total": "{{customer}}"})

    [made] = made_in(workspace)
    assert made.text == "To {{total}}{{customer}}: {{customer}} EUR, {{total}}{{customer}}\n"


@pytest.mark.parametrize("settings", [INVOICE, REPORT, SECTION])
async def test_what_no_document_has_room_for_is_never_sent(workspace: Workspace, settings: JsonObject) -> None:
    long = "x" * 510_001
    with pytest.raises(Permanent, match="output_too_large"):
        await attempted(
            connected(document, workspace, settings), {"name": long, "total": long, "title": "t", "text": long * 2}
        )
    assert made_in(workspace) == []


# Once


async def test_a_copy_that_was_made_and_not_filled_is_filled_by_the_retry(workspace: Workspace) -> None:
    destination = connected(document, workspace, INVOICE)
    workspace.fail(":batchUpdate", error(503))

    assert isinstance(await attempted(destination, ADA), RetryLater)
    assert isinstance(await attempted(destination, ADA, number=2), Delivered)
    assert [each.text for each in made_in(workspace)] == ["To Ada: 12.5 EUR, Ada\n"]


async def test_a_new_document_that_somebody_deletes_is_made_again_and_holds_up_no_other(workspace: Workspace) -> None:
    destination = connected(document, workspace, INVOICE)
    workspace.fail("GET https://docs", error(404))

    assert isinstance(await attempted(destination, ADA), RetryLater)
    for name in [name for name, each in workspace.documents.by_id.items() if each.file]:
        del workspace.documents.by_id[name]
    assert isinstance(await attempted(destination, ADA, number=2), Delivered)
    assert [each.text for each in made_in(workspace)] == ["To Ada: 12.5 EUR, Ada\n"]


async def test_no_document_is_made_while_it_is_not_known_whether_there_is_one(workspace: Workspace) -> None:
    workspace.documents.finds_all = False

    outcome = await attempted(connected(document, workspace, REPORT), NEWS, number=2)

    assert isinstance(outcome, RetryLater)
    assert made_in(workspace) == []


async def test_sections_of_one_process_and_of_others_do_not_lose_each_other(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = workspace.fetch

    async def slow(request: Outgoing) -> Fetched:
        await asyncio.sleep(0)
        return await fetch(request)

    monkeypatch.setattr(workspace, "fetch", slow)
    processes = [connected(document, workspace, SECTION) for _ in range(2)]

    outcomes = await asyncio.gather(
        *[attempted(processes[n % 2], delivery_with({"title": f"t{n}", "text": "x"}, n)) for n in range(8)]
    )

    written = [f"t{n}" for n, outcome in enumerate(outcomes) if isinstance(outcome, Delivered)]
    assert all(isinstance(outcome, Delivered | RetryLater) for outcome in outcomes)
    assert sorted(workspace.documents.by_id[LOG].text.split()[::2]) == written
    assert len(written) >= 4


async def test_what_google_rejects_although_nobody_changed_the_document_fails(workspace: Workspace) -> None:
    workspace.fail(":batchUpdate", error(400, "Invalid requests[0]"), times=9)

    assert isinstance(await attempted(connected(document, workspace, SECTION), NEWS), Failed)
    assert sum(":batchUpdate" in asked for asked in workspace.asked) == 1


# What Google answers


@pytest.mark.parametrize(
    ("settings", "request_", "fault", "act"),
    [
        (SECTION, "GET", error(403), "share the document"),
        (SECTION, "GET", error(404), "share the document"),
        (INVOICE, "/copy", error(404), "a reader of the template"),
        (REPORT, "POST", error(404), "a contributor of the folder's shared drive"),
        (REPORT, "POST", error(403, reason="storageQuotaExceeded"), "no storage of its own"),
        (REPORT, "POST", error(403, reason="accessNotConfigured"), "enable the Google Drive API"),
        (SECTION, "GET", error(403, reason="SERVICE_DISABLED"), "enable the Google Docs API"),
    ],
)
async def test_a_missing_right_holds_the_destination(
    workspace: Workspace, settings: JsonObject, request_: str, fault: Fault, act: str
) -> None:
    workspace.fail(request_, fault)

    outcome = await attempted(connected(document, workspace, settings), {**NEWS, **ADA})

    assert isinstance(outcome, Disabled)
    assert act in outcome.reason


def test_a_section_needs_the_right_on_documents_alone() -> None:
    scopes = [document._auth(document.Settings.model_validate(each)).scope for each in (SECTION, REPORT)]

    assert [scope.rpartition("/")[2] for scope in scopes] == ["documents", "drive"]
