"""The emulated SendGrid as an aiohttp application, to be mounted at /v3: POST /mail/send.

A request that SendGrid would reject gets SendGrid's status and the field at fault, in words of our own.
https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiohttp import web
from pydantic import ValidationError

from deploy.dev.caught import Mailbox
from deploy.dev.faults import MailFaults
from deploy.dev.mail import MailRequest, SentRequest, mail_request
from shared import batching, logs
from shared.config.values import fault_text
from shared.errors import Temporary

MAX_BODY_BYTES: Final = 30 * 1024 * 1024
LOCK_POLL_SECONDS: Final = 0.05
LOCKED_SECONDS: Final = 5.0
"""The time a request waits for a mail store that another process has locked; clients wait longer."""


class Fault(NamedTuple):
    """A rule that a request breaks, and the field at fault, such as `personalizations.0.to`."""

    rule: str
    field: str | None = None


class Answer(NamedTuple):
    """The answer to a mail: its `message_id` with status 202, or the faults."""

    status: int
    faults: Sequence[Fault] = ()
    message_id: str = ""


class _Waiting(NamedTuple):
    """A request to be stored, and its client's connection."""

    request: MailRequest
    transport: asyncio.Transport | None


NO_CREDENTIALS: Final = Answer(401, [Fault("authorization: must be a bearer token")])
TOO_LARGE: Final = Answer(413, [Fault("the body must be at most 30 MB")])
UNAVAILABLE: Final = Answer(503, [Fault("service unavailable")])
ANSWERS_ON_DEMAND: Final = {
    "403": Answer(403, [Fault("is not a verified Sender Identity", "from")]),
    "429": Answer(429, [Fault("too many requests")]),
    "500": Answer(500, [Fault("internal server error")]),
    "503": UNAVAILABLE,
}
"""The answers to the faults on demand, by the fault's name (deploy/dev/faults.py)."""


class SendGrid:
    """The API's handlers over a mailbox. Create it within the running event loop."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.faults = MailFaults()
        self._mailbox = mailbox
        self._batcher: batching.Batcher[_Waiting, None] = batching.Batcher(self._keep, max_batch=200, max_waiting=5000)

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
        errors = [{"message": fault.rule, "field": fault.field, "help": None} for fault in answer.faults]
        return web.json_response({"errors": errors} if errors else {}, status=answer.status)

    async def accept(self, body: bytes, transport: asyncio.Transport | None, has_token: bool = True) -> Answer:
        """Store the mails of a request, unless a fault on demand hits it. `transport` is the client's connection."""
        fault_on_demand = self.faults.choose()
        if fault_on_demand == "hang":
            await asyncio.sleep(self.faults.settings.hang_seconds)
            if transport:
                transport.abort()
            return UNAVAILABLE  # the connection is closed already
        if fault_on_demand:
            return ANSWERS_ON_DEMAND[fault_on_demand]
        if not has_token:
            return NO_CREDENTIALS
        try:
            text = body.decode()
            request = SentRequest.model_validate_json(text)
        except ValidationError as error:
            return Answer(400, _faults_of(error))
        except UnicodeDecodeError:
            return Answer(400, [Fault("the body must be JSON")])
        return await self._store(text, request, transport)

    async def _store(self, text: str, request: SentRequest, transport: asyncio.Transport | None) -> Answer:
        message_id = secrets.token_urlsafe(16)
        try:
            await self._batcher.submit(_Waiting(mail_request(text, request, message_id, time.time()), transport))
        except (Temporary, sqlite3.Error) as error:
            logs.log("ERROR", "the emulated SendGrid cannot keep a mail", detail=str(error))
            return UNAVAILABLE
        return Answer(202, message_id=message_id)

    async def _keep(self, batch: Sequence[_Waiting]) -> list[None]:
        """Store in one commit all requests that arrived in one turn of the event loop. Raises sqlite3.Error.

        While another process has locked the mail store, this polls instead of letting SQLite wait, so that the event
        loop goes on. A client that disconnects meanwhile will send its mail again, so that mail is not stored here.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCKED_SECONDS
        while True:
            try:
                self._mailbox.keep(
                    [each.request for each in batch if each.transport and not each.transport.is_closing()]
                )
                return [None] * len(batch)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or loop.time() >= deadline:
                    raise
            await asyncio.sleep(LOCK_POLL_SECONDS)


def _faults_of(error: ValidationError) -> list[Fault]:
    details = error.errors(include_url=False)
    return [Fault(fault_text(each, shows_value=False), ".".join(map(str, each["loc"])) or None) for each in details]
