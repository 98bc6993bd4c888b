"""Another system asked by a step, proven, signed and bounded; an event that comes again gets the same answer again."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from functions.transform.outside.auth import AnyProof, prove
from functions.transform.step import Services
from shared.config.values import Seconds, SecretName, listed
from shared.errors import Permanent, Rejected, Temporary
from shared.event import Event
from shared.formats.parse import parse_body
from shared.jsontext import Json, canonical, to_json
from shared.outgoing.url import read_target
from shared.ports import Blobs, Fetched, Outgoing

MAX_ANSWER_BYTES: Final = 1_048_576
_AGAIN: Final = frozenset({408, 425, 429})


class AskingSettings(BaseModel):
    """
    secret         signs the request as Standard Webhooks has it, under the event's id
    auth           how we prove ourselves besides, one way or a list: `{scheme: basic, username, secret}`,
                   `{scheme: bearer, secret}`, `{scheme: header, header, prefix, secret}`,
                   `{scheme: query, parameter, secret}`, `{scheme: google}` for a private Cloud Run function
    timeout        for the whole answer (default 10s)
    allow_private  the system may have a private address, and plain http
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: SecretName | None = None
    auth: Annotated[list[AnyProof], BeforeValidator(listed)] = Field(default=[])
    timeout: Annotated[Seconds, Field(ge=1, le=30)] = 10.0
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """`url` without what proves us; `content_type` is the body's."""

    method: str
    url: str
    body: bytes = b""
    content_type: str = ""

    @property
    def host(self) -> str:
        return re.split("[/?]", self.url, maxsplit=3)[2]


async def ask(settings: AskingSettings, question: Question, event: Event, services: Services) -> Json:
    """What the other system answers, parsed by its content type; null where that is nothing.

    Raises Permanent: `refused`, `answer`, `output`, `ssrf`, `url`; and Temporary (`busy`, `fetch`, `secret_…`).
    """
    request = await _request(settings, question, event, services)
    answer = await services.fetch.fetch(request)
    _verify(answer, question)
    if not answer.body.strip():
        return None
    try:
        return parse_body(answer.body, answer.header("content-type")).data
    except Rejected as error:
        raise Permanent("answer", f"what {question.host} answered does not parse: {error.detail}") from error


async def kept_or(
    asking: Callable[[], Awaitable[Json]],
    settings: AskingSettings,
    question: Question,
    event: Event,
    blobs: Blobs | None,
) -> Json:
    """What `asking` answers; what this event got before is the answer again, wherever the platform has blobs."""
    if blobs is None:
        return await asking()
    name = _kept_name(settings, question, event)
    kept = await blobs.get(name)
    if kept is not None:
        found: Json = json.loads(kept)
        return found
    answer = await asking()
    await blobs.put(name, to_json(answer).encode())
    return answer


def _kept_name(settings: AskingSettings, question: Question, event: Event) -> str:
    body = hashlib.sha256(question.body).hexdigest()
    told: list[Json] = [settings.model_dump_json(), question.method, question.url, body]
    return f"answers/{event.id}/{hashlib.sha256(canonical(told)).hexdigest()[:32]}"


async def _request(settings: AskingSettings, question: Question, event: Event, services: Services) -> Outgoing:
    read_target(question.url, settings.allow_private)
    proven = await prove(settings.auth, question.url.partition("?")[0], services)
    headers = [("accept", "application/json, */*;q=0.5"), ("hookchain-hops", str(event.hops + 1)), *proven.headers]
    if question.content_type:
        headers.append(("content-type", question.content_type))
    if settings.secret is not None:
        headers += await _signature(settings.secret, question.body, event, services)
    joint = "&" if "?" in question.url else "?"
    url = f"{question.url}{joint}{'&'.join(proven.parameters)}" if proven.parameters else question.url
    return Outgoing(
        question.method, url, tuple(headers), question.body, settings.timeout, MAX_ANSWER_BYTES, settings.allow_private
    )


async def _signature(secret: str, body: bytes, event: Event, services: Services) -> list[tuple[str, str]]:
    from shared.signatures.standard_webhooks import sign_standard

    timestamp = int(services.now())
    value = (await services.secrets.values(secret))[0]
    return [
        ("webhook-id", event.id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", sign_standard(value, event.id, timestamp, body)),
    ]


def _verify(answer: Fetched, question: Question) -> None:
    status = answer.status
    if status in _AGAIN or status >= 500:
        raise Temporary("busy", f"{question.host} answered {status}")
    if not 200 <= status < 300:
        raise Permanent("refused", f"{question.host} answered {status}")
    if answer.is_cut:
        raise Permanent("output", f"{question.host} answered more than {MAX_ANSWER_BYTES} bytes")
