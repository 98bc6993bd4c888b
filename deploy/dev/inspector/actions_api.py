"""What a person can do from the page: replay, release, drop; unplug the mail sink and plug it in."""

import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from aiohttp import web

from deploy.dev.inspector.answers import json_answer, json_body, not_found
from deploy.dev.inspector.apis import change_faults
from deploy.dev.inspector.parts import LOCAL, PARTS, Parts
from deploy.dev.inspector.query import bad_request, before_of, limit_of
from deploy.history.documents import as_dead_letter, dead_letter_document
from deploy.history.replay import make_dead_letter_replay, make_event_replay
from shared.cloud.journal_rows import DROPPED, KEPT, REPLAYED, DeadLetterRow
from shared.errors import Temporary
from shared.journal import DeadLetter
from shared.ports import EVENTS, BusMessage

STATES: Final = (KEPT, REPLAYED, DROPPED)


async def replay_event(request: web.Request) -> web.Response:
    """`{"id": …, "only": <destination>, "force": true}`"""
    parts, wanted = request.app[PARTS], await json_body(request)
    event_id, only, force = wanted.get("id"), wanted.get("only"), wanted.get("force", False)
    if not isinstance(event_id, str) or not isinstance(only, str | None) or not isinstance(force, bool):
        raise bad_request("a replay names an event's `id`; `only` is a destination's name, `force` is true or false")
    record = await parts.read(partial(parts.reader.event, event_id))
    if record is None or record.document is None:
        raise not_found("there is nothing to replay: transform has not seen the event, or its body is forgotten")
    replay_id = secrets.token_hex(8)
    await parts.bus.publish(EVENTS, [make_event_replay(record.document, replay_id, only, force)])
    return json_answer({"replay": replay_id})


async def list_dead_letters(request: web.Request) -> web.Response:
    parts, query = request.app[PARTS], request.query
    state = query.get("state") or KEPT
    if state not in (*STATES, "all"):
        raise bad_request(f"state is one of {', '.join(STATES)}, all")
    wanted = None if state == "all" else state
    look = partial(parts.reader.dead_letters, limit_of(query), state=wanted, before=before_of(query))
    return json_answer({"dead_letters": [dead_letter_document(letter) for letter in await parts.read(look)]})


async def show_dead_letter(request: web.Request) -> web.Response:
    letter = await _dead_letter(request.app[PARTS], request.query.get("id", ""))
    return json_answer(dead_letter_document(letter, whole=True))


async def replay_dead_letters(request: web.Request) -> web.Response:
    """`{"ids": […]}`, each as `/api/dead-letters` names it."""
    parts = request.app[PARTS]
    ids = await _ids(request)
    letters = [as_dead_letter(await _dead_letter(parts, each)) for each in ids]
    messages = [(letter, make_dead_letter_replay(letter, secrets.token_hex(8))) for letter in letters]
    replayed = [await _replay(parts, letter, message) for letter, message in messages]
    return json_answer({"replayed": sum(replayed)})


async def _replay(parts: Parts, letter: DeadLetter, message: BusMessage) -> bool:
    """Marked first: one that fails again at once is kept again, which must come last.

    False for what was replayed already: asked for twice, it would be delivered twice.
    """
    if not await _mark(parts, [letter.id], REPLAYED):
        return False
    try:
        await parts.bus.publish(letter.topic, [message])
    except Temporary:
        await _mark(parts, [letter.id], KEPT)
        raise
    return True


async def drop_dead_letters(request: web.Request) -> web.Response:
    return json_answer({"dropped": await _mark(request.app[PARTS], await _ids(request), DROPPED)})


async def release(request: web.Request) -> web.Response:
    destination = request.match_info["destination"]
    return json_answer({"released": await request.app[PARTS].ledger.release(destination, time.time())})


async def plug(request: web.Request) -> web.Response:
    """`{"plugged": false}` takes the mail provider off the net, as it were."""
    plugged = (await json_body(request)).get("plugged")
    if not isinstance(plugged, bool):
        raise bad_request("`plugged` is true or false")
    await change_faults(request.app[LOCAL].apis_url, {"mail": {"unplugged": not plugged}})
    return json_answer({"plugged": plugged})


async def _ids(request: web.Request) -> Sequence[str]:
    ids = (await json_body(request)).get("ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise bad_request("`ids` is a list of dead letters' ids")
    return [str(each) for each in ids]


async def _dead_letter(parts: Parts, dead_letter_id: str) -> DeadLetterRow:
    letter = await parts.read(partial(parts.reader.dead_letter, dead_letter_id))
    if letter is None:
        raise not_found(f"no dead letter {dead_letter_id!r}")
    return letter


async def _mark(parts: Parts, ids: Sequence[str], state: str) -> int:
    return await parts.read(partial(parts.reader.mark_dead_letters, ids, state))


ROUTES: Final = [
    web.post("/api/replay", replay_event),
    web.get("/api/dead-letters", list_dead_letters),
    web.get("/api/dead-letter", show_dead_letter),
    web.post("/api/dead-letters/replay", replay_dead_letters),
    web.post("/api/dead-letters/drop", drop_dead_letters),
    web.post("/api/release/{destination}", release),
]
LOCAL_ROUTES: Final = [web.post("/api/mail-sink", plug)]
