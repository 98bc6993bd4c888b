"""The subscribers' API as `hookchain tenants`, `hookchain endpoints` and similar commands use it.

The code of the function `subscribe` runs in this process.

The API lets your customers manage the endpoints that get your events. A command makes the same requests as an HTTP
client, so its changes are validated and limited in the same way. It needs no API key: anyone who can change the stores
with the operator's credentials can do everything that a key allows.

In a dry run, writes stay in memory, where later requests of the same command read them, and nothing is published.
"""

import asyncio
import secrets
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, redirect_stdout
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from deploy.client.hookchain.http import Response
from deploy.client.hookchain.subscribers import Attempts, Subscribers
from deploy.client.hookchain.subscribers_api import Headers
from deploy.history.state import StateFault, SubscriberStores
from deploy.secrets.backend import BackendError, SecretBackend
from functions.subscribe.access import KeyCaller
from functions.subscribe.api import answer_known
from functions.subscribe.problems import ApiProblem, problem_reply
from functions.subscribe.service import Keyring, Service
from functions.subscribe.settings import SubscribeSettings
from shared.cloud import platform
from shared.errors import Rejected, Temporary
from shared.http import Reply, Request, body_too_large
from shared.ports import BusMessage
from shared.store_ports import NO_VERSION, Document, Documents
from shared.subscribers.directory import Directory
from shared.subscribers.model import Scope

OPERATOR: Final = KeyCaller("operator", frozenset[Scope]({"admin"}))
_HEADERS_LEFT_OUT: Final = frozenset({"idempotency-key", "accept"})
"""The client's headers that do not reach the API: a command makes each request once, and replies are always JSON."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as the commands about subscribers use it.

    stores    opens its stores
    secrets   reads its secrets
    base_url  the URL before `/portal` in links, if the configuration has no `public_url`; empty if no link is made
    """

    settings: SubscribeSettings
    stores: AbstractAsyncContextManager[SubscriberStores]
    secrets: SecretBackend
    base_url: str = ""


class OperatorApi:
    """The API, open within `with`. All requests run on one event loop, because the stores' connections belong to it."""

    def __init__(self, deployment: Deployment, is_dry: bool = False) -> None:
        self._deployment = deployment
        self._is_dry = is_dry
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        try:
            self._service = self._runner.run(self._open())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._runner.run(self._stack.aclose())
        finally:
            self._runner.close()

    def client(self) -> Subscribers:
        return Subscribers("http://in-process", "in-process", transport=self._send, attempts=Attempts(most=1))

    async def _open(self) -> Service:
        deployment = self._deployment
        stores = await self._stack.enter_async_context(deployment.stores)
        documents = OverlayDocuments(stores.documents) if self._is_dry else stores.documents
        return Service(
            settings=deployment.settings,
            directory=Directory(documents),
            keyring=Keyring(StoredSecrets(deployment.secrets)),
            ledger=stores.ledger,
            bus=SilentBus() if self._is_dry else BusWhenNeeded(stores),
            blobs=stores.blobs,
            fetch=platform.fetch,
            clock=platform.SystemClock(),
            random_bytes=secrets.token_bytes,
        )

    def _send(self, method: str, path: str, headers: Headers, body: bytes) -> Response:
        # The function logs to stdout, where the command prints its result.
        with redirect_stdout(sys.stderr):
            reply = self._runner.run(self._answer(method, path, headers, body))
        return Response(reply.status, reply.body, tuple((name.lower(), value) for name, value in reply.headers))

    async def _answer(self, method: str, target: str, client_headers: Headers, body: bytes) -> Reply:
        headers = [(name.lower(), value) for name, value in client_headers if name.lower() not in _HEADERS_LEFT_OUT]
        scheme, _, host = self._deployment.base_url.partition("://")
        if host:  # portal links begin with the URL of the request
            headers += [("host", host), ("x-forwarded-proto", scheme)]
        path, _, query = target.partition("?")

        async def read_body(max_bytes: int) -> bytes:
            if len(body) > max_bytes:
                raise body_too_large(max_bytes)
            return body

        try:
            return await answer_known(self._service, Request(method, path, query, tuple(headers)), read_body, OPERATOR)
        except ApiProblem as problem:
            return problem_reply(problem.status, problem.code, problem.detail, problem.errors)
        except Rejected as fault:
            return problem_reply(fault.status, fault.code, fault.detail)


class StoredSecrets:
    """The Secrets port of the function, over the operator's own access to the secrets."""

    def __init__(self, backend: SecretBackend) -> None:
        self._backend = backend
        self._values_by_name: dict[str, tuple[str, ...]] = {}

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        if fresh or name not in self._values_by_name:
            self._values_by_name[name] = await asyncio.to_thread(self._read, name)
        return self._values_by_name[name]

    def _read(self, name: str) -> tuple[str, ...]:
        try:
            stored = self._backend.find([name]).get(name)
        except BackendError as fault:
            raise Temporary("secret_unavailable", str(fault)) from fault
        if stored is None or not stored.values:
            trouble = stored.trouble if stored and stored.trouble else "does not exist"
            raise Temporary("secret_unavailable", f"secret {name!r} {trouble}: hookchain secrets set {name}")
        return stored.values


class BusWhenNeeded:
    """The Bus port, which opens the bus for each publish: most commands publish nothing, and a local bus may be off."""

    max_delay_seconds = 0.0

    def __init__(self, stores: SubscriberStores) -> None:
        self._stores = stores

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        try:
            async with self._stores.bus() as bus:
                await bus.publish(topic, messages)
        except StateFault as fault:
            raise Temporary("bus_unavailable", str(fault)) from fault


class OverlayDocuments:
    """The Documents port for a dry run: it reads the stored documents, and keeps its own changes in memory.

    `_changes` has the changed documents by partition and id; None for one that was deleted. The version of a changed
    document begins with `dry-`, so that it differs from every stored version.
    """

    def __init__(self, stored: Documents) -> None:
        self._stored = stored
        self._changes: defaultdict[str, dict[str, Document | None]] = defaultdict(dict)
        self._write_count = 0

    async def get(self, partition: str, id: str) -> Document | None:
        if id in self._changes[partition]:
            return self._changes[partition][id]
        return await self._stored.get(partition, id)

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        changes = self._changes[partition]
        # A change can take the place of a stored document. So that the page is full even then, more are read.
        stored = await self._stored.page(partition, limit + len(changes), after, until)
        page = {each.id: each for each in stored if each.id not in changes}
        for id, document in changes.items():
            if document is not None and id > after and (not until or id < until):
                page[id] = document
        return [page[id] for id in sorted(page)][:limit]

    async def write(
        self,
        partition: str,
        id: str,
        text: str,
        expected: str | None = None,
        expires_at: float | None = None,  # noqa: ARG002 the port's
    ) -> str | None:
        if expected is not None:
            found = await self.get(partition, id)
            if expected != (found.version if found else NO_VERSION):
                return None
        self._write_count += 1
        version = f"dry-{self._write_count}"
        self._changes[partition][id] = Document(id, text, version)
        return version

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        found = await self.get(partition, id)
        if found is not None and expected is not None and expected != found.version:
            return False
        self._changes[partition][id] = None
        return True


class SilentBus:
    """The Bus port without a bus."""

    max_delay_seconds = 0.0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        """Publish nothing."""
