"""The emulated SendGrid and Google Sheets: faults on demand, the mailbox, and which requests are rejected."""

import base64
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, strategies as st
from pydantic import ValidationError
from yarl import URL

from deploy.dev.caught import Mailbox, Sheet, SheetStore
from deploy.dev.faults import FaultPlan, Faults, MailFaults
from deploy.dev.mail import Attachment, MailRequest, SentRequest, mail_of, mail_request
from deploy.dev.sheets import EmulatedSheets
from functions.notify.destination import Destination
from functions.notify.destinations import sheet
from shared.delivery import Delivered, Disabled
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, to_json
from shared.settings import read_settings
from tests.fakes.configurations import compile_text
from tests.fakes.destinations import a_context
from tests.stand_ins.google_workspace import description
from tests.unit.notify.google_kinds import attempted, delivery_with


def a_plan(seed: int = 1, **shares: float) -> FaultPlan:
    return FaultPlan(Faults(**shares), random.Random(seed))


def test_the_same_seed_makes_the_same_trouble() -> None:
    one, other = (a_plan(7, duplicate=0.3, delay=0.3) for _ in range(2))
    assert [one.arrival() for _ in range(200)] == [other.arrival() for _ in range(200)]


def test_a_fault_that_a_change_does_not_name_stays() -> None:
    faults = Faults(duplicate=0.1).changed({"nack": 1, "delay_seconds": 30})
    assert faults == Faults(duplicate=0.1, nack=1.0, delay_seconds=30.0)
    assert faults.nack == 1.0


def test_the_next_mails_fail_in_order_and_then_none_does() -> None:
    faults = MailFaults()
    faults.change({"next": [{"kind": "429", "count": 2}, {"kind": "503"}]})
    assert [faults.choose() for _ in range(4)] == ["429", "429", "503", None]


@pytest.mark.parametrize("changes", [{"unplugged": 1}, {"next": [{"kind": "418"}]}, {"plugged": False}])
def test_an_invalid_mail_fault_is_rejected_and_changes_nothing(changes: JsonObject) -> None:
    faults = MailFaults()
    before = faults.document()
    with pytest.raises(ValueError, match=r"\w"):
        faults.change({"hang_seconds": 1, **changes})
    assert faults.document() == before


# The mailbox


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    box = Mailbox(tmp_path / "state")
    yield box
    box.close()


DOCUMENT: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com"},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}],
}


def a_request(message_id: str = "m1", **changes: object) -> MailRequest:
    document: JsonObject = json.loads(json.dumps(DOCUMENT | changes))
    text = to_json(document)
    return mail_request(text, SentRequest.model_validate_json(text), message_id, 1_790_000_000.25)


def test_the_list_is_newest_first_and_pages_backwards(mailbox: Mailbox) -> None:
    mailbox.keep([a_request(f"m{n}", subject=f"mail {n}") for n in range(5)])
    assert [mail.subject for mail in mailbox.list_mail(2)] == ["mail 4", "mail 3"]
    assert [mail.subject for mail in mailbox.list_mail(2, before_id=4)] == ["mail 2", "mail 1"]
    assert mailbox.count() == 5


def test_attachments_are_kept_beside_the_request(mailbox: Mailbox) -> None:
    content = base64.b64encode(b"<a/>\xff").decode()
    attachment = {"content": content, "filename": "body.xml", "type": "application/xml"}
    mailbox.keep([a_request(attachments=[attachment, attachment | {"disposition": "inline", "content_id": "c"}])])
    mail = mailbox.get_mail(1)
    assert mail is not None
    assert mail.attachments == (
        Attachment("body.xml", "application/xml", "attachment", "", 5),
        Attachment("body.xml", "application/xml", "inline", "c", 5),
    )
    assert mailbox.attachment_content(1, 1) == b"<a/>\xff"
    assert mailbox.attachment_content(1, 2) is None
    assert mailbox.attachment_content(2, 0) is None
    assert content not in (mailbox.get_request(1) or content)


def test_of_requests_that_cannot_all_be_kept_none_is(mailbox: Mailbox) -> None:
    broken = MailRequest("m2", 0.0, "\ud800", 1)
    with pytest.raises(UnicodeEncodeError):
        mailbox.keep([a_request(), broken])
    assert mailbox.count() == 0


# SendGrid: the requests that it rejects, as SendGrid does

ANN: JsonObject = {"email": "ann@example.com"}
GOOD: JsonObject = {
    "personalizations": [{"to": [{"email": "list@example.com"}]}],
    "from": {"email": "web@example.com", "name": None},
    "subject": "New signup",
    "content": [{"type": "text/plain", "value": "hello"}, {"type": "text/html", "value": "<b>hello</b>"}],
}


def places_at_fault(document: JsonObject) -> list[str]:
    try:
        SentRequest.model_validate_json(json.dumps(document))
    except ValidationError as error:
        return [".".join(map(str, each["loc"])) for each in error.errors()]
    return []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [ANN], "bcc": [{"email": "Ann@example.com"}]}]}, "personalizations.0"),
        ({"from": {"email": "a@b\r\nBcc: c@example.com"}}, "from.email"),
        ({"subject": ""}, ""),
        ({"attachments": [{"content": "not base64!", "filename": "x"}]}, "attachments.0.content"),
        ({"headers": {"Bcc": "x@example.com"}}, "headers"),
    ],
)
def test_a_fault_is_named_by_its_place(changes: JsonObject, place: str) -> None:
    assert place in places_at_fault({**GOOD, **changes})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("a@example.com"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*GOOD, "to", "email", "name", "type", "value", "filename"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([*GOOD, "attachments", "headers", "reply_to"]), JSON)
def test_any_json_is_rejected_or_parsed_as_mails(member: str, value: Json) -> None:
    text = json.dumps({**GOOD, member: value})
    if places_at_fault({**GOOD, member: value}):
        return
    request = mail_request(text, SentRequest.model_validate_json(text), "m1", 0.0)
    for number in range(request.mail_count):
        assert mail_of(1, "m1", 0.0, request.text, number).to


# Google Sheets: the destination's own calls, each held to Google's description of the API

SETTINGS: JsonObject = {
    "spreadsheet": "1ExampleOfASpreadsheet",
    "sheet": "Ada's / signups",
    "columns": {"Name": "data.name", "Number": "data.number"},
}
SHEET = Sheet("1ExampleOfASpreadsheet", "Ada's / signups")
URL_OF_APIS = "http://127.0.0.1:8085"
ADA: Json = {"name": "=1+1", "number": 7}
ID = delivery_with(ADA).id


class Emulation:
    def __init__(self, client: "TestClient[web.Request, web.Application]", store: SheetStore) -> None:
        self.client = client
        self.store = store
        self.is_answer_lost = False

    async def fetch(self, request: Outgoing) -> Fetched:
        assert request.allow_private
        assert not any(name == "authorization" for name, _ in request.headers)
        path = request.url.removeprefix(URL_OF_APIS)
        url = URL(path, encoded=True)
        body: Json = json.loads(request.body) if request.body else None
        api = description("sheets", "v4")
        method = api.method(request.method, path.partition("?")[0], dict(url.query), body)
        async with self.client.request(request.method, url, data=request.body, headers=request.headers) as answer:
            content = await answer.read()
        if answer.status == 200:
            api.check_answer(method, json.loads(content))
        return Fetched(500 if self.is_answer_lost and request.method == "POST" else answer.status, (), content)

    def connected(self, **changes: Json) -> Destination:
        context = replace(a_context(), fetch=lambda: self, settings=read_settings({"SHEETS_API_URL": URL_OF_APIS}))
        return sheet.connect("rows", sheet.Settings.model_validate({**SETTINGS, **changes}), context)

    @property
    def rows(self) -> list[list[Json]]:
        return self.store.rows(SHEET, 1, 100)


@pytest.fixture
async def emulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulation]:
    monkeypatch.setattr(sheet, "INTERVAL_SECONDS", 0.0)
    (tmp_path / "slices").mkdir()
    destination: Json = {"sheet": SETTINGS}
    text = to_json(
        {
            "sources": {"a": {"auth": "none"}},
            "routes": [{"name": "r", "to": "rows"}],
            "destinations": {"rows": destination},
        }
    )
    compiled = compile_text(text)
    (tmp_path / "slices" / "notify.json").write_text(to_json(compiled["notify"]))
    with closing(SheetStore(tmp_path)) as store:
        app = web.Application()
        app.add_subapp("/v4", EmulatedSheets(store, tmp_path).app())
        async with TestClient(TestServer(app)) as client:
            yield Emulation(client, store)


async def test_a_row_is_caught_below_its_header(emulation: Emulation) -> None:
    rows = emulation.connected()

    assert await attempted(rows, ADA) == Delivered("row 2")
    assert await attempted(rows, delivery_with({"name": "Grace"}, number=2)) == Delivered("row 3")
    assert emulation.rows[:2] == [["Name", "Number", "Delivery"], ["=1+1", 7, ID]]


@pytest.mark.parametrize("cells", ["A", f"A{'9' * 20}", f"A{'9' * 5_000}", f"{'Z' * 99}1"])
async def test_cells_that_no_sheet_has_are_rejected(emulation: Emulation, cells: str) -> None:
    async with emulation.client.get(f"/v4/spreadsheets/a/values/'b'!{cells}") as answer:
        assert answer.status == 400


@pytest.mark.parametrize("header", ["make", "none"])
async def test_a_retry_of_a_row_that_is_there_adds_none(emulation: Emulation, header: str) -> None:
    rows = emulation.connected(header=header)
    emulation.is_answer_lost = True
    await attempted(rows, ADA)
    emulation.is_answer_lost = False
    before = emulation.rows

    assert await attempted(rows, ADA, number=2) == Delivered("the row was there already")
    assert emulation.rows == before


async def test_a_column_that_is_added_later_holds_deliveries_until_the_sheet_is_emptied(emulation: Emulation) -> None:
    await attempted(emulation.connected(), ADA)
    later = emulation.connected(columns={"Name": "data.name", "Number": "data.number", "Plan": "data.plan"})

    outcome = await attempted(later, ADA)
    assert isinstance(outcome, Disabled)
    assert "cell C1 must be the column's name 'Plan'" in outcome.reason
    assert outcome.answer == "cell C1 is 'Delivery'"
    emulation.store.empty(SHEET)
    assert await attempted(later, ADA) == Delivered("row 2")
