"""What an operator puts on the bus again: a stored event, or the message of a dead letter."""

import json
from typing import Final

from shared.errors import Permanent
from shared.journal import DeadLetter
from shared.jsontext import Json, JsonObject, to_json
from shared.ports import DELIVERIES, EVENTS, BusMessage

REPLAYABLE: Final = (EVENTS, DELIVERIES)


def replay_of_event(document: JsonObject, replay_id: str, only: str | None = None, force: bool = False) -> BusMessage:
    """For the topic `events`. `only`: one destination; `force`: also what is finished, as a new generation."""
    attributes = _attributes(document, replay_id)
    if only:
        attributes["only"] = only
    if force:
        attributes["force"] = "true"
    return BusMessage(to_json(document).encode(), attributes)


def is_replayable(letter: DeadLetter) -> bool:
    return letter.topic in REPLAYABLE and _document(letter.message) is not None


def replay_of_dead_letter(letter: DeadLetter, replay_id: str) -> BusMessage:
    """For the letter's own topic. Raises Permanent (`replay`) for what was never a message of ours."""
    document = _document(letter.message) if letter.topic in REPLAYABLE else None
    if document is None:
        raise Permanent("replay", f"the dead letter {letter.id!r} holds nothing that could be sent on again")
    attributes = _attributes(document, replay_id)
    if letter.topic == DELIVERIES:
        # It is in the ledger as failed, which is finished: without force nothing would come of it. An event is sent
        # without, for with it the routes that did not fail would deliver again.
        attributes["force"] = "true"
    return BusMessage(letter.message, attributes)


def _document(message: bytes) -> JsonObject | None:
    try:
        document: Json = json.loads(message)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(document, dict) and all(isinstance(document.get(n), str) for n in ("id", "type", "source"))
    return document if isinstance(document, dict) and is_ours else None


def _attributes(document: JsonObject, replay_id: str) -> dict[str, str]:
    return {f"ce-{name}": str(document[name]) for name in ("id", "type", "source")} | {"replay": replay_id}
