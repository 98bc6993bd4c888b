"""`POST /chains/<name>`: a document through a named chain, as one more little converter that other functions ask.

Only those whom the platform lets in come here: the function is private. `?body=text` or `bytes` takes the document as
it came, without parsing it; a CloudEvent, as the step `call` posts it, is the event itself.
"""

import json
from typing import Final
from urllib.parse import parse_qs, unquote

from functions.transform.chain import Chain, NamedChains
from functions.transform.run_chain import document_of, event_of, run_alone
from functions.transform.step import Services
from functions.transform.walk import Course
from shared.errors import Permanent, Rejected, Temporary
from shared.event import MAX_HOPS, Event, from_cloudevent
from shared.formats.decode import decode_content
from shared.http import ReadBody, Reply, Request, problem
from shared.jsontext import Json, JsonObject
from shared.limits import DEFAULT

CHAINS_PATH: Final = "/chains/"
CLOUDEVENT: Final = "application/cloudevents+json"
AS_IT_CAME: Final = ("text", "bytes")


async def answer_chain(
    chains: NamedChains, services: Services | None, head: Request, read_body: ReadBody, now: float
) -> tuple[Reply, JsonObject]:
    """The reply, and what the log says of it."""
    name = unquote(head.path.removeprefix(CHAINS_PATH))
    if name not in chains:
        return problem(404, "unknown_chain", "There is no chain of this name."), {"chain": None}
    fields: JsonObject = {"chain": name}
    if head.method != "POST":
        return problem(405, "method", "A chain takes a POST.", ("allow", "POST")), fields
    try:
        sent = await read_body(DEFAULT.max_decoded_bytes)
        event = _event(name, head, decode_content(sent, head.header("content-encoding")), now)
        course = await run_alone(Chain(f"{CHAINS_PATH}{name}", chains[name], chains), event, services)
    except Rejected as error:
        return problem(error.status, error.code, error.detail), {**fields, "code": error.code}
    except Permanent as error:
        return problem(422, error.code, error.detail), {**fields, "code": error.code}
    except Temporary as error:
        detail = _alone(error.detail, name)
        return problem(503, error.code, detail, ("retry-after", "5")), {**fields, "code": error.code, "detail": detail}
    return _reply(course, name), {**fields, **({"code": course.faults[0].code} if course.faults else {})}


def _event(name: str, head: Request, body: bytes, now: float) -> Event:
    """Raises Rejected and Permanent."""
    content_type = head.header("content-type")
    if (content_type or "").partition(";")[0].strip().lower() == CLOUDEVENT:
        event = from_cloudevent(_json(body))
    else:
        event = event_of(body, content_type, _asked_format(head), name, now)
    if max(event.hops, _hops(head)) > MAX_HOPS:
        raise Permanent("loop", f"more than {MAX_HOPS} hops are a loop")
    return event


def _asked_format(head: Request) -> str | None:
    asked = parse_qs(head.query).get("body", [""])[-1]
    if asked and asked not in AS_IT_CAME:
        raise Rejected("parse", "`?body=` is text or bytes, or is left out")
    return asked or None


def _hops(head: Request) -> int:
    text = head.header("hookchain-hops") or ""
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _json(body: bytes) -> Json:
    try:
        document: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Rejected("parse", "the CloudEvent is not JSON") from error
    return document


def _alone(detail: str, name: str) -> str:
    """It is no route's."""
    return detail.removeprefix(f"route {f'{CHAINS_PATH}{name}'!r}: ")


def _reply(course: Course, name: str) -> Reply:
    """What a step refuses, and what is stopped on purpose, has no document to answer with."""
    if course.faults:
        return problem(422, course.faults[0].code, _alone(course.faults[0].detail, name))
    if not course.arrived:
        return problem(422, "stopped", "; ".join(course.stopped))
    document = document_of(course.arrived)
    return Reply(200, document.content, (("content-type", document.content_type),))
