"""The emulated SendGrid as an aiohttp application, to be mounted at /v3."""

import asyncio
import json
import random
import secrets
import sqlite3
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from aiohttp import web

from deploy.dev.direct_http import Call, Handler
from deploy.dev.sendgrid.errors import (
    BAD_REQUEST,
    INTERNAL,
    NO_CREDENTIALS,
    TOO_LARGE,
    TOO_MANY,
    UNAVAILABLE,
    UNVERIFIED_SENDER,
    Complaint,
    errors_document,
)
from deploy.dev.sendgrid.faults import MailFaults
from deploy.dev.sendgrid.mailbox import Mailbox, MailRequest, mail_request
from deploy.dev.sendgrid.validation import complaints_about
from shared.batching import Batcher
from shared.errors import Temporary
from shared.http import Reply, json_reply
from shared.jsontext import Json, JsonObject, to_json
from shared.logs import log

MAX_BODY_BYTES: Final = 30 * 1024 * 1024
LOCK_POLL_SECONDS: Final = 0.05
LOCKED_SECONDS: Final = 5.0
"""The time a request waits for a mail store that another process has locked; clients wait longer."""

_ANSWERS: Final = {
    "429": (429, TOO_MANY),
    "500": (500, INTERNAL),
    "503": (503, UNAVAILABLE),
    "403": (403, UNVERIFIED_SENDER),
}


_Waiting: TypeAlias = tuple[asyncio.Transport | None, MailRequest]


class SendGrid:
    """The API's handlers. Create it within the running event loop."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.faults = MailFaults()
        self.generator = random.Random(0)  # noqa: S311 -- dice for faults
        self._mailbox = mailbox
        self._batcher: Batcher[_Waiting, None] = Batcher(self._keep, max_batch=200, max_waiting=5000)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/mail/send", self.send)
        return app

    def find_direct(self, path: str) -> Handler | None:
        return self.answer if path == "/v3/mail/send" else None

    async def send(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        try:
            reply = await self.answer(Call(request.path, authorization, await request.read(), request.transport))
        except web.HTTPRequestEntityTooLarge:
            reply = _rejection(413, [TOO_LARGE])
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))

    async def answer(self, call: Call) -> Reply:
        fault = self.faults.choose(self.generator)
        if fault == "unplugged":
            return _rejection(503, [UNAVAILABLE])
        if fault == "hang":
            return await self._hang(call)
        if not call.authorization.lower().startswith("bearer "):
            return _rejection(401, [NO_CREDENTIALS])
        if fault in _ANSWERS:
            status, complaint = _ANSWERS[fault]
            return _rejection(status, [complaint])
        return await self._accept(call)

    async def _hang(self, call: Call) -> Reply:
        await asyncio.sleep(self.faults.hang_seconds)
        if call.transport:
            call.transport.abort()
        return _rejection(503, [UNAVAILABLE])  # the connection is closed already

    async def _accept(self, call: Call) -> Reply:
        try:
            text = call.body.decode()
            document: Json = json.loads(text)
            if "\\u" in text:
                to_json(document).encode()  # half of a surrogate pair is no text that could be kept
        except (ValueError, RecursionError):
            return _rejection(400, [BAD_REQUEST])
        if complaints := complaints_about(document):
            return _rejection(400, complaints)
        assert isinstance(document, dict)  # else there was a complaint
        if _is_sandboxed(document):
            return Reply(200, headers=())
        message_id = secrets.token_urlsafe(16)
        try:
            await self._batcher.submit((call.transport, mail_request(text, document, message_id, time.time())))
        except (Temporary, sqlite3.Error) as error:
            log("ERROR", "the emulated SendGrid cannot keep a mail", detail=str(error))
            return _rejection(503, [UNAVAILABLE])
        return Reply(202, headers=(("X-Message-Id", message_id),))

    async def _keep(self, batch: Sequence[_Waiting]) -> list[None]:
        """Store in one commit what arrived in one turn of the event loop. Raises sqlite3.Error.

        A client that gave up while the mail store was locked will send again, so its mail is not stored.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCKED_SECONDS
        while True:
            try:
                self._mailbox.keep([mail for transport, mail in batch if _is_open(transport)])
                return [None] * len(batch)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or loop.time() >= deadline:
                    raise
            await asyncio.sleep(LOCK_POLL_SECONDS)


def _is_open(transport: asyncio.Transport | None) -> bool:
    return transport is not None and not transport.is_closing()


def _rejection(status: int, complaints: Sequence[Complaint]) -> Reply:
    return json_reply(status, errors_document(complaints))


def _is_sandboxed(document: JsonObject) -> bool:
    """Return whether the request is in sandbox mode: it is validated, answered 200, and not sent."""
    settings = document.get("mail_settings")
    sandbox = settings.get("sandbox_mode") if isinstance(settings, dict) else None
    return isinstance(sandbox, dict) and sandbox.get("enable") is True
