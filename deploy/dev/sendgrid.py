"""The emulated SendGrid as an aiohttp application, to be mounted at /v3: POST /mail/send.

What SendGrid would reject is answered with its status and the field at fault, in words of our own.
https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

import asyncio
import base64
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

from deploy.dev.caught import Mailbox, MailRequest, mail_request
from deploy.dev.faults import MailFaults
from shared.batching import Batcher
from shared.errors import Temporary
from shared.jsontext import Json, JsonObject, to_json
from shared.logs import log

MAX_BODY_BYTES: Final = 30 * 1024 * 1024
MAX_PERSONALIZATIONS: Final = 1000
LOCK_POLL_SECONDS: Final = 0.05
LOCKED_SECONDS: Final = 5.0
"""The time a request waits for a mail store that another process has locked; clients wait longer."""

_EMAIL: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\\]{1,255}")
_RECIPIENTS: Final = ("to", "cc", "bcc")
_RESERVED_HEADERS: Final = frozenset(
    {
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-transfer-encoding", "content-type"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    }
)

_Fault: TypeAlias = tuple[str | None, str]
"""The field at fault, such as `personalizations.0.to`, and the rule that it breaks."""
_Waiting: TypeAlias = tuple[asyncio.Transport | None, MailRequest]


class Answer(NamedTuple):
    """The answer to a mail: its `message_id` with status 202, or what is at fault."""

    status: int
    faults: Sequence[_Fault] = ()
    message_id: str = ""


NO_CREDENTIALS: Final = Answer(401, [(None, "authorization: must be a bearer token")])
NOT_JSON: Final = Answer(400, [(None, "the body must be a JSON object")])
TOO_LARGE: Final = Answer(413, [(None, "the body must be at most 30 MB")])
UNAVAILABLE: Final = Answer(503, [(None, "service unavailable")])
ANSWERS_OF_FAULTS: Final = {
    "unplugged": UNAVAILABLE,
    "403": Answer(403, [("from", "is not a verified Sender Identity")]),
    "429": Answer(429, [(None, "too many requests")]),
    "500": Answer(500, [(None, "internal server error")]),
    "503": UNAVAILABLE,
}


class SendGrid:
    """The API's handlers over a mailbox. Create it within the running event loop."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.faults = MailFaults()
        self._mailbox = mailbox
        self._batcher: Batcher[_Waiting, None] = Batcher(self._keep, max_batch=200, max_waiting=5000)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/mail/send", self.send)
        return app

    async def send(self, request: web.Request) -> web.Response:
        has_token = request.headers.get("Authorization", "").lower().startswith("bearer ")
        try:
            answer = await self.accept(await request.read(), request.transport, has_token)
        except web.HTTPRequestEntityTooLarge:
            answer = TOO_LARGE
        if answer.message_id:
            return web.Response(status=answer.status, headers={"X-Message-Id": answer.message_id})
        errors = [{"message": rule, "field": place, "help": None} for place, rule in answer.faults]
        return web.json_response({"errors": errors} if errors else {}, status=answer.status)

    async def accept(self, body: bytes, transport: asyncio.Transport | None, has_token: bool = True) -> Answer:
        """Store the mails of a request, unless a fault on demand hits it. `transport` is the client's connection."""
        fault = self.faults.choose()
        if fault == "hang":
            await asyncio.sleep(self.faults.hang_seconds)
            if transport:
                transport.abort()
            return UNAVAILABLE  # the connection is closed already
        if fault != "unplugged" and not has_token:
            return NO_CREDENTIALS
        if fault:
            return ANSWERS_OF_FAULTS[fault]
        try:
            text = body.decode()
            document: Json = json.loads(text)
            if "\\u" in text:
                to_json(document).encode()  # raises for a lone surrogate, which cannot be stored
        except (ValueError, RecursionError):
            return NOT_JSON
        if not isinstance(document, dict):
            return NOT_JSON
        if faults := list(faults_of(document)):
            return Answer(400, faults)
        return Answer(200) if _is_sandboxed(document) else await self._store(text, document, transport)

    async def _store(self, text: str, document: JsonObject, transport: asyncio.Transport | None) -> Answer:
        message_id = secrets.token_urlsafe(16)
        try:
            await self._batcher.submit((transport, mail_request(text, document, message_id, time.time())))
        except (Temporary, sqlite3.Error) as error:
            log("ERROR", "the emulated SendGrid cannot keep a mail", detail=str(error))
            return UNAVAILABLE
        return Answer(202, message_id=message_id)

    async def _keep(self, batch: Sequence[_Waiting]) -> list[None]:
        """Store in one commit what arrived in one turn of the event loop. Raises sqlite3.Error.

        A client that gave up while the mail store was locked will send again, so its mail is not stored.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCKED_SECONDS
        while True:
            try:
                self._mailbox.keep([mail for transport, mail in batch if transport and not transport.is_closing()])
                return [None] * len(batch)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or loop.time() >= deadline:
                    raise
            await asyncio.sleep(LOCK_POLL_SECONDS)


def _is_sandboxed(document: JsonObject) -> bool:
    """Return whether the request is in sandbox mode: it is validated, answered 200, and not sent."""
    settings = document.get("mail_settings")
    sandbox = settings.get("sandbox_mode") if isinstance(settings, dict) else None
    return isinstance(sandbox, dict) and sandbox.get("enable") is True


def faults_of(document: JsonObject) -> Iterator[_Fault]:
    """Yield what SendGrid would reject in a request."""
    people = document.get("personalizations")
    if not isinstance(people, list) or not 0 < len(people) <= MAX_PERSONALIZATIONS:
        yield "personalizations", f"must be a list of 1 to {MAX_PERSONALIZATIONS}"
        people = []
    for number, each in enumerate(people):
        yield from _personalization_faults(each, f"personalizations.{number}")
    yield from _address_faults(document.get("from"), "from")
    if "reply_to" in document:
        yield from _address_faults(document["reply_to"], "reply_to")
    yield from _list_faults(document.get("reply_to_list", []), "reply_to_list")
    has_subjects = bool(people) and all(isinstance(each, dict) and each.get("subject") for each in people)
    if not (_is_text(document.get("subject")) or document.get("template_id") or has_subjects):
        yield "subject", "must be a text, here or in every personalization"
    if "content" in document or not document.get("template_id"):
        yield from _content_faults(document.get("content"))
    yield from _attachment_faults(document.get("attachments", []))
    for member in ("headers", "custom_args"):
        texts = document.get(member, {})
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            yield member, "must be an object of texts"
    headers = document.get("headers")
    for name in headers if isinstance(headers, dict) else ():
        if name.lower() in _RESERVED_HEADERS:
            yield f"headers.{name}", "is a reserved header"


def _personalization_faults(personalization: Json, path: str) -> Iterator[_Fault]:
    if not isinstance(personalization, dict) or not personalization.get("to"):
        yield f"{path}.to", "must be a list of at least one address"
        return
    seen: set[str] = set()
    for kind in _RECIPIENTS:
        people = personalization.get(kind) or []
        yield from _list_faults(people, f"{path}.{kind}")
        for each in people if isinstance(people, list) else ():
            email = str(each.get("email")).lower() if isinstance(each, dict) else ""
            if email and email in seen:
                yield path, f"must have each address once in to, cc and bcc; got {email} again"
            seen.add(email)
    if not isinstance(personalization.get("subject"), str | None):
        yield f"{path}.subject", "must be a text"


def _content_faults(content: Json) -> Iterator[_Fault]:
    if not isinstance(content, list) or not content:
        yield "content", "must be a list of at least one part"
        return
    for number, part in enumerate(content):
        for member in ("type", "value"):
            if not isinstance(part, dict) or not _is_text(part.get(member)):
                yield f"content.{number}.{member}", "must be a text of at least one character"
    if any(isinstance(part, dict) and part.get("type") == "text/plain" for part in content[1:]):
        yield "content", "must have text/plain once, as the first part"


def _attachment_faults(attachments: Json) -> Iterator[_Fault]:
    if not isinstance(attachments, list):
        yield "attachments", "must be a list"
        return
    for number, each in enumerate(attachments):
        path = f"attachments.{number}"
        attachment = each if isinstance(each, dict) else {}
        if not _is_base64(attachment.get("content")):
            yield f"{path}.content", "must be base64"
        if not _is_text(attachment.get("filename")):
            yield f"{path}.filename", "must be a text of at least one character"
        if attachment.get("disposition", "attachment") not in ("attachment", "inline"):
            yield f"{path}.disposition", "must be inline or attachment"


def _list_faults(people: Json, path: str) -> Iterator[_Fault]:
    if not isinstance(people, list):
        yield path, "must be a list of addresses"
        return
    for number, each in enumerate(people):
        yield from _address_faults(each, f"{path}.{number}")


def _address_faults(value: Json, path: str) -> Iterator[_Fault]:
    address = value if isinstance(value, dict) else {}
    email = address.get("email")
    if not isinstance(email, str) or not _EMAIL.fullmatch(email):
        yield f"{path}.email", "must be a valid address"
    if not isinstance(address.get("name", ""), str | None):
        yield f"{path}.name", "must be a text"


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and value != ""


def _is_base64(content: Json) -> bool:
    if not isinstance(content, str) or not content:
        return False
    try:
        base64.b64decode(content, validate=True)
    except ValueError:
        return False
    return True
