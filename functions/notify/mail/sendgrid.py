"""SendGrid through its own library, with one kept-alive pool of connections under it.

The library's client opens a connection for each call and, since Python 3.12, reads the certificate bundle each time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import python_http_client  # type: ignore[import-untyped] # it has no types
import urllib3

from functions.notify.destination import Attempt
from functions.notify.mail.mail import Mail
from functions.notify.mail.sendgrid_answer import outcome_of
from functions.notify.mail.sendgrid_body import sendgrid_body
from functions.notify.mail.threads import MAX_THREADS, BoundedThreads
from shared.delivery import Outcome, RetryLater
from shared.jsontext import Json, to_json
from shared.ports import Clock

CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Response:
    """What the library's client answers, as far as we read it; `headers` has names in lower case."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes


class PooledClient(python_http_client.Client):  # type: ignore[misc] # its base has no types
    """The library's client, its calls made over the pool. A status is an answer, not an exception."""

    host: str
    request_headers: Mapping[str, str]
    _url_path: list[str]

    def __init__(
        self, pool: urllib3.HTTPConnectionPool, prefix: str, headers: Mapping[str, str], url_path: list[str]
    ) -> None:
        super().__init__(host=prefix, request_headers=headers, version=3, url_path=url_path)
        self._pool = pool

    def _build_client(self, name: str | None = None) -> "PooledClient":
        url_path = [*self._url_path, name] if name else self._url_path
        return PooledClient(self._pool, self.host, self.request_headers, url_path)

    def __getattr__(self, name: str) -> "PooledClient":
        return self._build_client(name)

    def post(self, request_body: Json, timeout: float) -> Response:
        """Raises urllib3's errors."""
        answer = self._pool.urlopen(
            "POST",
            super()._build_url(query_params=None),
            body=to_json(request_body).encode(),
            headers={**self.request_headers, "Content-Type": "application/json"},
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout), total=timeout),
        )
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)


@dataclass(frozen=True, slots=True)
class SendGridWay:
    client: PooledClient
    destination: str
    threads: BoundedThreads
    clock: Clock

    async def send(self, mail: Mail, attempt: Attempt) -> Outcome:
        """Raises TimeoutError where the mail was sent and no answer came, and Temporary where no thread is free."""
        endpoint, body = self.client.mail.send, sendgrid_body(mail)
        try:
            answer = await self.threads.run(lambda left: endpoint.post(body, left), attempt.timeout_seconds)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            return RetryLater(f"SendGrid cannot be reached: {type(error).__name__}")
        except urllib3.exceptions.SSLError as error:
            return RetryLater(f"SendGrid's certificate is not accepted: {type(error).__name__}")
        except urllib3.exceptions.HTTPError as error:
            raise TimeoutError(f"SendGrid did not answer: {type(error).__name__}") from error
        return outcome_of(
            answer.status_code,
            answer.headers,
            answer.body,
            sender=mail.sender.address,
            destination=self.destination,
            now=self.clock.now(),
        )


class SendGrid:
    """`url` is the API's base, such as https://api.sendgrid.com."""

    def __init__(self, destination: str, url: str, threads: BoundedThreads, clock: Clock) -> None:
        self._destination = destination
        self._url = url
        self._threads = threads
        self._clock = clock
        self._pool = urllib3.connection_from_url(url, maxsize=MAX_THREADS, retries=False)
        self._api_key = ""
        self._way: SendGridWay | None = None

    def way(self, api_key: str) -> SendGridWay:
        """A new key is used from the next mail on."""
        if self._way is None or api_key != self._api_key:
            self._api_key = api_key
            self._way = SendGridWay(self._client(api_key), self._destination, self._threads, self._clock)
        return self._way

    def _client(self, api_key: str) -> PooledClient:
        # Imported here: it costs 60 ms, which those who send by SMTP need not pay.
        from sendgrid import SendGridAPIClient  # type: ignore[import-untyped] # it has no types

        api = SendGridAPIClient(api_key, host=self._url)
        prefix = urlsplit(self._url).path.rstrip("/")
        api.client = client = PooledClient(self._pool, prefix, api.client.request_headers, [])
        return client

    def close(self) -> None:
        self._pool.close()
