"""The kind `document`: sections and documents, each once whatever the network and Google do, as a sheet's rows are."""

import asyncio
import random
from types import ModuleType

import pytest
from hypothesis import example, given, strategies as st

from functions.notify.destinations import sheet
from functions.notify.destinations.document import document
from functions.notify.destinations.document.doc_updates import section_requests
from functions.notify.destinations.document.markdown import encoded, link_of, paragraphs_of
from shared.delivery import Delivered, Delivery, Disabled, Failed, RetryLater, Unknown
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject, objects_at
from tests.stand_ins.google_documents import Document, error
from tests.stand_ins.google_workspace import Fault, Workspace
from tests.unit.notify.google_kinds import attempted, connected, delivery_with
from tests.unit.notify.http_kinds import HOSTILE, delivery_of, json_of, request_of

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


LOG_ID = "1ExampleOfALog"
WRITERS: dict[str, tuple[ModuleType, JsonObject]] = {
    "sheet": (
        sheet,
        {"spreadsheet": "1ExampleOfASpreadsheet", "sheet": "Signups", "columns": {"N": "data.n"}},
    ),
    "section": (document, {"append_to": LOG_ID, "markdown": "{{ data.n }}"}),
    "new": (document, {"markdown": "{{ data.n }}", "folder": "1ExampleOfAFolder"}),
}
FAULTS: tuple[Fault, ...] = ("lost", "cut", "unreachable", error(429), error(500), error(503))


def written_in(workspace: Workspace) -> list[str]:
    made = [each.text for each in workspace.documents.by_id.values() if each.file]
    section = workspace.documents.by_id[LOG_ID].text.split("\n")
    rows = [str(row[0]) for row in workspace.sheets["Signups"][1:]]
    return sorted(text.strip() for text in (*made, *section, *rows) if text.strip())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", WRITERS)
async def test_each_delivery_is_written_once(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "INTERVAL_SECONDS", 0.0)
    dice, workspace = random.Random(seed), Workspace()
    workspace.documents.by_id[LOG_ID] = Document()
    kind, settings = WRITERS[name]
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

    assert written_in(workspace) == sorted(f"n{number}" for number in range(25))


def document_of(markdown: str, data: Json = None) -> Document:
    """Return the document that the section of an event is document_of into."""
    settings: Json = {"append_to": "1ExampleOfADocument", "markdown": markdown}
    made = Document()
    for each in objects_at(json_of(request_of(document, settings, delivery_of(data))), "requests"):
        made.apply(each)
    return made


def styles_of(made: Document) -> list[tuple[str, str]]:
    """Return the styles but for the two that reset the section's own."""
    return made.styles[2:]


@pytest.mark.parametrize(
    ("text", "written", "styles"),
    [
        ("# One\n\n### Three", "One\nThree\n", [("One", "HEADING_1"), ("Three", "HEADING_3")]),
        ("A **b *c*** `d`", "A b c d\n", [("b ", "bold"), ("c", "bold,italic"), ("d", "weightedFontFamily")]),
        ("~~e~~ [f](https://x.example/y)", "e f\n", [("e", "strikethrough"), ("f", "link")]),
        ("![g](https://x.example/z.png)", "g\n", []),
        (
            "- a\n  1. b\n\n     more of b\n- c\n\ntext\n\n1. d\n2. e",
            "a\nb\vmore of b\nc\ntext\nd\ne\n",
            [("d\ne", "NUMBERED_DECIMAL_ALPHA_ROMAN"), ("a\n\tb\vmore of b\nc", "BULLET_DISC_CIRCLE_SQUARE")],
        ),
    ],
)
def test_headings_emphasis_links_and_lists_are_styles(text: str, written: str, styles: list[tuple[str, str]]) -> None:
    made = document_of(text)

    assert made.text == written
    assert styles_of(made) == styles


def test_quotes_code_tables_and_rules_are_paragraphs() -> None:
    made = document_of("> q\n\n```\nx = 1\n\ty\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n<b>no HTML</b>")

    assert made.text == f"q\nx = 1\v\ty\na\tb\n1\t2\n{'―' * 20}\n<b>no HTML</b>\n"
    assert ("q", "indentStart,indentFirstLine") in made.styles
    assert [text for text, fields in made.styles if fields == "bold"] == ["a", "b"]


def test_a_section_after_a_text_begins_a_paragraph_of_its_own() -> None:
    made = Document("before 👩\n")
    end = len(made.text.encode("utf-16-le")) // 2 + 1
    for each in section_requests(paragraphs_of("## 👩‍💻 T\n\nx"), "key", end):
        made.apply(each)

    assert made.text == "before 👩\n👩‍💻 T\nx\n"
    assert styles_of(made) == [("👩‍💻 T", "HEADING_2")]


@pytest.mark.parametrize(
    "value",
    [
        *("# x", "- x", "1. x", "**x**", "`x`", "[x](https://evil.example)"),
        *("<b>x</b>", "| x |", "> x", "    x", "\\*", "&amp;"),
    ],
)
@pytest.mark.parametrize("template", ["{{ data }}", "- {{ data }}", "a {{ data }}", "## {{ data }}"])
def test_a_value_is_text_and_never_markdown(template: str, value: str) -> None:
    made = document_of(template, value)

    assert made.text.removesuffix("\n").endswith(value)
    assert not {"bold", "link", "weightedFontFamily"} & {fields for _, fields in made.styles}


def test_the_lines_of_a_value_stay_in_its_paragraph() -> None:
    made = document_of("- {{ data }}\n- b", "one\r\n\r\n# two\u2028three")

    assert made.text == "one\v\v# two\vthree\nb\n"


@example("\t")
@given(st.text(max_size=60) | st.sampled_from(HOSTILE))
def test_no_value_changes_the_paragraphs_or_breaks_an_index(value: str) -> None:
    made = document_of("# {{ data }}\n\n- {{ data }}\n  - **{{ data }}**\n\nend {{ data }}", value)

    *paragraphs, last, rest = made.text.split("\n")
    assert last.startswith("end")
    assert rest == ""
    assert len(paragraphs) in {0, 3}


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://x.example/a?b=c", "https://x.example/a?b=c"),
        ("mailto:a@x.example", "mailto:a@x.example"),
        (encoded("https://x.example/ä"), "https://x.example/ä"),
        (f"https://x.example/{encoded('a/../b c')}", "https://x.example/a%2F..%2Fb%20c"),
        (f"https://x.example/?u=a%26b%3D{encoded('c&d')}", "https://x.example/?u=a%26b%3Dc%26d"),
        (encoded("javascript:alert(1)"), None),
        (encoded("https://x.example/a b"), None),
        ("/relative", None),
    ],
)
def test_a_link_leads_to_a_web_or_mail_address_only(address: str, link: str | None) -> None:
    assert link_of(address) == link
    runs = paragraphs_of(f"[x](<{address}>)")[0].runs
    assert runs[0].style == ({"link": {"url": link}} if link else {})
