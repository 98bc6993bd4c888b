"""Events, deliveries and rejected requests: GET /api/events, /api/events/<id>, /api/deliveries, /api/rejected."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import before_of, event_query, json_answer, limit_of, not_found
from deploy.dev.inspector.backend import BACKEND, LOCAL, Backend
from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.history.digests import digest_document, find_digest
from deploy.history.documents import delivery_document, record_document, request_document, summary_document
from deploy.history.journal_view import EventPage, EventQuery, EventRecord
from shared.claim_check import checked_out
from shared.errors import Permanent
from shared.event import from_cloudevent, to_cloudevent
from shared.jsontext import JsonObject
from shared.ledger import LedgerRow

MAX_DELIVERIES: Final = 100
SENT: Final = ("200 ", "202 ")
"""The beginnings of the responses of SES and SendGrid that a mail was accepted."""
NEWEST_MAILS: Final = 200


async def list_events(request: web.Request) -> web.Response:
    backend, query = request.app[BACKEND], event_query(request.query)
    return json_answer(await find_events(backend, query))


async def find_events(backend: Backend, query: EventQuery) -> JsonObject:
    """Return a page of the list. A search by text first indexes the next few hundred events."""
    if query.text:
        await backend.read(backend.reader.index)
    return page_document(await backend.read(partial(backend.reader.events, query)))


def page_document(page: EventPage) -> JsonObject:
    return {
        "events": [summary_document(event) for event in page.events],
        "next_before": page.next_before,
        "not_indexed": page.not_indexed,
    }


async def show_event(request: web.Request) -> web.Response:
    backend, event_id = request.app[BACKEND], request.match_info["id"]
    record = await backend.read(partial(backend.reader.event, event_id))
    if record is None:
        letters = await backend.read(partial(backend.reader.letters_of_event, event_id))
        if (digest := await find_digest(backend.ledger, event_id, letters)) is None:
            raise not_found(f"The journal has no event {event_id!r}.")
        return json_answer({**digest_document(digest), "mails": await _mails(request, digest.rows)})
    rows = list(reversed(await backend.ledger.rows(MAX_DELIVERIES, event_id=event_id)))
    document = record_document(record, await _whole_event(backend, record), rows)
    return json_answer({**document, "mails": await _mails(request, rows)})


async def _mails(request: web.Request, rows: Sequence[LedgerRow]) -> JsonObject:
    local = request.app.get(LOCAL)
    return await local.read(partial(_mails_of, local.mailbox, rows)) if local else {}


def _mails_of(mailbox: Mailbox, rows: Sequence[LedgerRow]) -> JsonObject:
    """Return mail ids by delivery id, for mails among the newest: the mail service's response has the message id."""
    answers = {row.answer.partition(" ")[2]: row.key for row in rows if row.answer.startswith(SENT)}
    if not answers:
        return {}
    return {answers[mail.message_id]: mail.id for mail in mailbox.list_mail(NEWEST_MAILS) if mail.message_id in answers}


async def _whole_event(backend: Backend, record: EventRecord) -> JsonObject | None:
    """Return the event with the data of its blob, or without data if the blob is gone."""
    if record.document is None or "dataref" not in record.document:
        return record.document
    try:
        return to_cloudevent(await checked_out(from_cloudevent(record.document), backend.blobs))
    except Permanent:
        return record.document


async def list_deliveries(request: web.Request) -> web.Response:
    destination, state = (request.query.get(name) or None for name in ("destination", "state"))
    rows = await request.app[BACKEND].ledger.rows(limit_of(request.query), destination=destination, state=state)
    return json_answer({"deliveries": [delivery_document(row) for row in rows]})


async def list_rejected(request: web.Request) -> web.Response:
    backend, query = request.app[BACKEND], request.query
    requests = await backend.read(partial(backend.reader.rejected, limit_of(query), before_of(query)))
    return json_answer({"rejected": [request_document(each) for each in requests]})


ROUTES: Final = [
    web.get("/api/events", list_events),
    web.get("/api/events/{id}", show_event),
    web.get("/api/deliveries", list_deliveries),
    web.get("/api/rejected", list_rejected),
]
