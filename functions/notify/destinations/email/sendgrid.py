"""SendGrid through its own library, with kept-alive connections under it.

The library's client opens a connection for each call, knows no timeout and, since Python 3.12, reads the certificate
bundle each time. What it builds is sent on the event loop instead: in threads, a mail cost twice the CPU.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import python_http_client  # type: ignore[import-untyped] # it has no types

from functions.notify.destination import Attempt
from functions.notify.destinations.email.mail import Mail
from functions.notify.destinations.email.sendgrid_answer import outcome_of
from functions.notify.destinations.email.sendgrid_body import sendgrid_body
from shared.delivery import Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.http_client import Answer, HttpClient, NotSent
from shared.jsontext import Json, to_json
from shared.ports import Clock

MAX_AT_ONCE: Final = 32
MAX_ANSWER_BYTES: Final = 65_536
"""The status is what counts: a mail that was taken is not sent again because too much was said about it."""


class KeptAliveClient(python_http_client.Client):  # type: ignore[misc] # its base has no types
    """The library's client, its calls made over `http`. A status is an answer, not an exception."""

    host: str
    request_headers: Mapping[str, str]
    _url_path: list[str]

    def __init__(self, http: HttpClient, prefix: str, headers: Mapping[str, str], url_path: list[str]) -> None:
        super().__init__(host=prefix, request_headers=headers, version=3, url_path=url_path)
        self._http = http

    def _build_client(self, name: str | None = None) -> "KeptAliveClient":
        url_path = [*self._url_path, name] if name else self._url_path
        return KeptAliveClient(self._http, self.host, self.request_headers, url_path)

    def __getattr__(self, name: str) -> "KeptAliveClient":
        return self._build_client(name)

    async def post(self, request_body: Json, timeout: float) -> Answer:
        """Raises what HttpClient raises."""
        url: str = super()._build_url(query_params=None)
        headers = {**self.request_headers, "Content-Type": "application/json"}
        return await self._http.call("POST", url, headers, to_json(request_body).encode(), timeout)


@dataclass(frozen=True, slots=True)
class SendGridWay:
    client: KeptAliveClient
    destination: str
    free: asyncio.Semaphore
    clock: Clock

    async def send(self, mail: Mail, attempt: Attempt) -> Outcome:
        """Raises Temporary where too many wait."""
        endpoint, body = self.client.mail.send, sendgrid_body(mail)
        began = time.monotonic()
        try:
            async with self._place(attempt.timeout_seconds / 2):
                answer = await endpoint.post(body, attempt.timeout_seconds - (time.monotonic() - began))
        except NotSent as error:
            return RetryLater(f"SendGrid cannot be reached: {error}")
        except OSError as error:
            return Unknown(f"SendGrid did not answer: {type(error).__name__}")
        return outcome_of(
            answer.status,
            answer.headers,
            answer.body,
            sender=mail.sender.address,
            destination=self.destination,
            now=self.clock.now(),
        )

    @asynccontextmanager
    async def _place(self, max_seconds: float) -> AsyncIterator[None]:
        """One of those who may send at the same time."""
        try:
            async with asyncio.timeout(max_seconds if self.free.locked() else None):
                await self.free.acquire()
        except TimeoutError as error:
            raise Temporary("mail_busy", f"{MAX_AT_ONCE} mails are being sent, and none is done") from error
        try:
            yield
        finally:
            self.free.release()


class SendGrid:
    """`url` is the API's base, such as https://api.sendgrid.com."""

    def __init__(self, destination: str, url: str, clock: Clock) -> None:
        self._destination = destination
        self._url = url
        self._clock = clock
        self._http = HttpClient(url, MAX_ANSWER_BYTES, may_cut=True)
        self._free = asyncio.Semaphore(MAX_AT_ONCE)
        self._api_key = ""
        self._way: SendGridWay | None = None

    def way(self, api_key: str) -> SendGridWay:
        """A new key is used from the next mail on."""
        if self._way is None or api_key != self._api_key:
            self._api_key = api_key
            self._way = SendGridWay(self._client(api_key), self._destination, self._free, self._clock)
        return self._way

    def _client(self, api_key: str) -> KeptAliveClient:
        # Imported here: it costs 60 ms, which those who send by SMTP need not pay.
        from sendgrid import SendGridAPIClient  # type: ignore[import-untyped] # it has no types

        api = SendGridAPIClient(api_key, host=self._url)
        prefix = urlsplit(self._url).path.rstrip("/")
        api.client = client = KeptAliveClient(self._http, prefix, api.client.request_headers, [])
        return client

    def close(self) -> None:
        self._http.close()
