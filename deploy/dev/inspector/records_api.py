"""The records of a deployment, as the page's tabs show and change them: the routes are at the end of this file.

Events and their deliveries, rejected requests, dead letters, destinations, and the tenants of subscribers. A handler
reads the journal in the backend's thread, and the ledger and the documents on the event loop.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final, Literal

import pydantic
from aiohttp import web

from deploy.dev.caught import Mailbox
from deploy.dev.inspector import api
from deploy.dev.local_server import json_answer
from deploy.history import destinations, digests, documents, journal_view, replay, resumption, stored_messages
from deploy.history.state import configured_destinations
from deploy.history.waterfall import waterfall_document
from shared import errors, journal, ledger, ports
from shared.jsontext import Json, JsonObject
from shared.subscribers.names import TENANT_PATTERN

MAX_DELIVERIES: Final = 100
SENT: Final = ("200 ", "202 ")
"""The beginnings of the responses of SES and SendGrid that a mail was accepted."""
NEWEST_MAILS: Final = 200
_TENANT: Final = re.compile(TENANT_PATTERN)


async def list_events(request: web.Request) -> web.Response:
    backend, query = request.app[api.BACKEND], api.event_query(request.query)
    return json_answer(await find_events(backend, query))


async def find_events(backend: api.Backend, query: journal_view.EventQuery) -> JsonObject:
    """Return a page of the list. A search by text first indexes the next few hundred events."""
    if query.text:
        await backend.in_thread(backend.reader.index)
    page = await backend.in_thread(partial(backend.reader.events, query))
    events: list[Json] = [documents.summary_document(event) for event in page.events]
    return {"events": events, "next_before": page.next_before, "not_indexed": page.not_indexed}


async def show_event(request: web.Request) -> web.Response:
    backend, event_id = request.app[api.BACKEND], request.match_info["id"]
    record = await backend.in_thread(partial(backend.reader.event, event_id))
    if record is None:
        letters = await backend.in_thread(partial(backend.reader.letters_of_event, event_id))
        if (digest := await digests.find_digest(backend.ledger, event_id, letters)) is None:
            raise api.not_found(f"The journal has no event {event_id!r}.")
        return json_answer({**digests.digest_document(digest), "mails": await _mails(request, digest.rows)})
    rows = list(reversed(await backend.ledger.rows(MAX_DELIVERIES, event_id=event_id)))
    event = record.document
    if event is not None and "dataref" in event:
        event = await stored_messages.event_with_data(event, backend.blobs)
    document = documents.record_document(record, event, rows)
    return json_answer({**document, "trace": waterfall_document(record), "mails": await _mails(request, rows)})


async def _mails(request: web.Request, rows: Sequence[ledger.LedgerRow]) -> JsonObject:
    local = request.app.get(api.LOCAL)
    return await local.in_thread(partial(_mails_of, local.caught.mailbox, rows)) if local else {}


def _mails_of(mailbox: Mailbox, rows: Sequence[ledger.LedgerRow]) -> JsonObject:
    """Return mail ids by delivery id, for mails among the newest: the mail service's response has the message id."""
    delivery_by_message = {row.answer.partition(" ")[2]: row.key for row in rows if row.answer.startswith(SENT)}
    if not delivery_by_message:
        return {}
    mails = {mail.message_id: mail.id for mail in mailbox.list_mail(NEWEST_MAILS)}
    return {delivery: mails[message_id] for message_id, delivery in delivery_by_message.items() if message_id in mails}


async def list_deliveries(request: web.Request) -> web.Response:
    """List the newest deliveries; with `route`, those among the newest MAX_LIMIT."""
    destination, state, route = (request.query.get(name) or None for name in ("destination", "state", "route"))
    limit = api.read_query(api.Paging, request.query).limit
    searched = api.MAX_LIMIT if route else limit
    rows = await request.app[api.BACKEND].ledger.rows(searched, destination=destination, state=state)
    if route:
        rows = [row for row in rows if row.route == route][:limit]
    return json_answer({"deliveries": [documents.delivery_document(row) for row in rows]})


async def list_rejected(request: web.Request) -> web.Response:
    backend, page = request.app[api.BACKEND], api.read_query(api.Paging, request.query)
    requests = await backend.in_thread(partial(backend.reader.rejected, page.limit, page.before))
    return json_answer({"rejected": [documents.request_document(each) for each in requests]})


class _EventToReplay(pydantic.BaseModel):
    """An event to replay. `only` is a destination; `force` also repeats what was delivered."""

    id: str
    only: str | None = None
    force: bool = False


async def replay_event(request: web.Request) -> web.Response:
    backend, wanted = request.app[api.BACKEND], await api.read_body(_EventToReplay, request)
    record = await backend.in_thread(partial(backend.reader.event, wanted.id))
    if record is None or record.document is None:
        raise api.not_found(
            "There is nothing to replay: transform has not processed the event, or its body was deleted."
        )
    replay_id = secrets.token_hex(8)
    message = replay.make_event_replay(record.document, replay_id, wanted.only, wanted.force)
    await replay.restart_blob_expiry([message.data], backend.blobs)
    await backend.bus.publish(ports.EVENTS, [message])
    return json_answer({"replay": replay_id})


class _DeadLetters(api.Paging):
    state: Literal["kept", "replayed", "dropped", "all"] = "kept"


async def list_dead_letters(request: web.Request) -> web.Response:
    backend, query = request.app[api.BACKEND], api.read_query(_DeadLetters, request.query)
    wanted = None if query.state == "all" else query.state
    call = partial(backend.reader.dead_letters, query.limit, state=wanted, before=query.before)
    return json_answer(
        {"dead_letters": [documents.dead_letter_document(letter) for letter in await backend.in_thread(call)]}
    )


async def show_dead_letter(request: web.Request) -> web.Response:
    letter = await _dead_letter(request.app[api.BACKEND], request.query.get("id", ""))
    return json_answer(documents.dead_letter_document(letter, whole=True))


class _ChosenDeadLetters(pydantic.BaseModel):
    ids: Annotated[list[str], pydantic.Field(min_length=1)]


async def replay_dead_letters(request: web.Request) -> web.Response:
    """Replay `{"ids": […]}`, the ids that /api/dead-letters lists.

    Those whose delivery was delivered since count as replayed, because nothing is left to send.
    """
    backend = request.app[api.BACKEND]
    ids = (await api.read_body(_ChosenDeadLetters, request)).ids
    letters = [await _dead_letter(backend, each) for each in ids]
    messages = [(letter, replay.make_dead_letter_replay(letter, secrets.token_hex(8))) for letter in letters]
    delivered = await replay.delivered_since(backend.ledger, letters)
    await _mark(backend, sorted(delivered), journal_view.REPLAYED)
    undelivered = [(letter, message) for letter, message in messages if letter.id not in delivered]
    replayed = [await _replay_dead_letter(backend, letter, message) for letter, message in undelivered]
    return json_answer({"replayed": sum(replayed), "delivered_since": len(delivered)})


async def _replay_dead_letter(backend: api.Backend, letter: journal.DeadLetter, message: ports.BusMessage) -> bool:
    """Publish the message; return False if the dead letter was replayed before, so that two clicks send it once.

    It is marked before it is published: one that fails again at once is kept again, and that must be the last write.
    """
    if not await _mark(backend, [letter.id], journal_view.REPLAYED):
        return False
    try:
        await replay.restart_blob_expiry([letter.message], backend.blobs)
        await backend.bus.publish(letter.topic, [message])
    except errors.Temporary:
        await _mark(backend, [letter.id], journal.KEPT)
        raise
    return True


async def drop_dead_letters(request: web.Request) -> web.Response:
    ids = (await api.read_body(_ChosenDeadLetters, request)).ids
    return json_answer({"dropped": await _mark(request.app[api.BACKEND], ids, journal_view.DROPPED)})


async def _dead_letter(backend: api.Backend, dead_letter_id: str) -> journal_view.DeadLetterRow:
    letter = await backend.in_thread(partial(backend.reader.dead_letter, dead_letter_id))
    if letter is None:
        raise api.not_found(f"There is no dead letter {dead_letter_id!r}.")
    return letter


async def _mark(backend: api.Backend, ids: Sequence[str], state: str) -> int:
    return await backend.in_thread(partial(backend.reader.mark_dead_letters, ids, state))


async def list_destinations(request: web.Request) -> web.Response:
    backend = request.app[api.BACKEND]
    notify = await asyncio.to_thread(backend.read_slice, "notify")
    configured = configured_destinations(notify)
    views = await destinations.read_destinations(backend.ledger, configured, time.time(), notify)
    return json_answer({"destinations": [each.document() for each in views], "count": len(configured)})


async def pause(request: web.Request) -> web.Response:
    await request.app[api.BACKEND].ledger.disable(
        request.match_info["destination"], ledger.PAUSED_BY_OPERATOR, time.time()
    )
    return json_answer({})


async def resume(request: web.Request) -> web.Response:
    """Let the destination take deliveries again, and send the deliveries that are held for it or wait."""
    destination = request.match_info["destination"]
    resumed = await resumption.resume_destination(request.app[api.BACKEND].ledger, destination, time.time())
    document: JsonObject = {
        "released": resumed.released,
        "hastened": resumed.hastened,
        "keep_waiting": resumed.keep_waiting,
        "stays_held": resumed.stays_held,
    }
    return json_answer(document)


async def release(request: web.Request) -> web.Response:
    """Send the deliveries that are held for the destination."""
    destination = request.match_info["destination"]
    released = await request.app[api.BACKEND].ledger.release(destination, time.time(), releases_unknown=True)
    return json_answer({"released": released})


async def list_tenants(request: web.Request) -> web.Response:
    after = request.query.get("after", "")
    if after and not _TENANT.fullmatch(after):
        raise api.bad_request("after: must be the id of a tenant.")
    limit = api.read_query(api.Paging, request.query).limit
    page = await documents.read_tenants(request.app[api.BACKEND].documents, limit, after)
    return json_answer(page.document())


async def show_tenant(request: web.Request) -> web.Response:
    tenant = request.match_info["tenant"]
    is_id = _TENANT.fullmatch(tenant) is not None
    found = await documents.read_endpoints(request.app[api.BACKEND].documents, tenant) if is_id else None
    if found is None:
        raise api.not_found("There is no such tenant.")
    return json_answer({"endpoints": [*found]})


RECORDS_ROUTES: Final = [
    web.get("/api/events", list_events),
    web.get("/api/events/{id}", show_event),
    web.get("/api/deliveries", list_deliveries),
    web.get("/api/rejected", list_rejected),
    web.post("/api/replay", replay_event),
    web.get("/api/dead-letters", list_dead_letters),
    web.get("/api/dead-letter", show_dead_letter),
    web.post("/api/dead-letters/replay", replay_dead_letters),
    web.post("/api/dead-letters/drop", drop_dead_letters),
    web.get("/api/destinations", list_destinations),
    web.post("/api/destinations/{destination}/pause", pause),
    web.post("/api/destinations/{destination}/resume", resume),
    web.post("/api/release/{destination}", release),
    web.get("/api/subscribers", list_tenants),
    web.get("/api/subscribers/{tenant}", show_tenant),
]
