"""The actions of the page: replay events and dead letters, drop dead letters."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import bad_request, before_of, json_answer, json_body, limit_of, not_found
from deploy.dev.inspector.backend import BACKEND, Backend
from deploy.history.documents import dead_letter_document
from deploy.history.journal_view import DROPPED, REPLAYED, DeadLetterRow
from deploy.history.replay import as_dead_letter, make_dead_letter_replay, make_event_replay, renew_blobs
from shared.errors import Temporary
from shared.journal import KEPT, DeadLetter
from shared.ports import EVENTS, BusMessage

STATES: Final = (KEPT, REPLAYED, DROPPED)


async def replay_event(request: web.Request) -> web.Response:
    """Replay `{"id": …, "only": <destination>, "force": true}`."""
    backend, wanted = request.app[BACKEND], await json_body(request)
    event_id, only, force = wanted.get("id"), wanted.get("only"), wanted.get("force", False)
    if not isinstance(event_id, str) or not isinstance(only, str | None) or not isinstance(force, bool):
        raise bad_request("id: must be an event's id; only: a destination's name; force: true or false.")
    record = await backend.read(partial(backend.reader.event, event_id))
    if record is None or record.document is None:
        raise not_found("There is nothing to replay: transform has not processed the event, or its body was deleted.")
    replay_id = secrets.token_hex(8)
    message = make_event_replay(record.document, replay_id, only, force)
    await renew_blobs([message.data], backend.blobs)
    await backend.bus.publish(EVENTS, [message])
    return json_answer({"replay": replay_id})


async def list_dead_letters(request: web.Request) -> web.Response:
    backend, query = request.app[BACKEND], request.query
    state = query.get("state") or KEPT
    if state not in (*STATES, "all"):
        raise bad_request(f"state: must be one of {', '.join(STATES)}, all; got {state!r}.")
    wanted = None if state == "all" else state
    call = partial(backend.reader.dead_letters, limit_of(query), state=wanted, before=before_of(query))
    return json_answer({"dead_letters": [dead_letter_document(letter) for letter in await backend.read(call)]})


async def show_dead_letter(request: web.Request) -> web.Response:
    letter = await _dead_letter(request.app[BACKEND], request.query.get("id", ""))
    return json_answer(dead_letter_document(letter, whole=True))


async def replay_dead_letters(request: web.Request) -> web.Response:
    """Replay `{"ids": […]}`, the ids that /api/dead-letters lists."""
    backend = request.app[BACKEND]
    ids = await _ids(request)
    letters = [as_dead_letter(await _dead_letter(backend, each)) for each in ids]
    messages = [(letter, make_dead_letter_replay(letter, secrets.token_hex(8))) for letter in letters]
    replayed = [await _replay(backend, letter, message) for letter, message in messages]
    return json_answer({"replayed": sum(replayed)})


async def _replay(backend: Backend, letter: DeadLetter, message: BusMessage) -> bool:
    """Publish the message; return False if the dead letter was replayed before, so that two clicks send it once.

    It is marked before it is published: one that fails again at once is kept again, and that must be the last write.
    """
    if not await _mark(backend, [letter.id], REPLAYED):
        return False
    try:
        await renew_blobs([letter.message], backend.blobs)
        await backend.bus.publish(letter.topic, [message])
    except Temporary:
        await _mark(backend, [letter.id], KEPT)
        raise
    return True


async def drop_dead_letters(request: web.Request) -> web.Response:
    return json_answer({"dropped": await _mark(request.app[BACKEND], await _ids(request), DROPPED)})


async def _ids(request: web.Request) -> Sequence[str]:
    ids = (await json_body(request)).get("ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise bad_request("ids: must be a list of dead letters' ids.")
    return [str(each) for each in ids]


async def _dead_letter(backend: Backend, dead_letter_id: str) -> DeadLetterRow:
    letter = await backend.read(partial(backend.reader.dead_letter, dead_letter_id))
    if letter is None:
        raise not_found(f"There is no dead letter {dead_letter_id!r}.")
    return letter


async def _mark(backend: Backend, ids: Sequence[str], state: str) -> int:
    return await backend.read(partial(backend.reader.mark_dead_letters, ids, state))


ROUTES: Final = [
    web.post("/api/replay", replay_event),
    web.get("/api/dead-letters", list_dead_letters),
    web.get("/api/dead-letter", show_dead_letter),
    web.post("/api/dead-letters/replay", replay_dead_letters),
    web.post("/api/dead-letters/drop", drop_dead_letters),
]
