"""The subscribers' API as the operator's commands use it: the function's own code, in this process, on the stores.

The commands need no API key, because whoever can change the stores with the operator's credentials can do all that a
key can. What they write is validated and limited as it is over HTTP. In a dry run, what is written is kept in memory,
over what is really there, and nothing is published.
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
"""The client's headers that do not reach the API. A key has no use, because a command makes each request once."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as the commands about subscribers use it.

    stores    opens its stores
    secrets   where its secrets are
    base_url  stands before `/portal` in links, where the configuration has no `public_url`; empty: not needed
    """

    settings: SubscribeSettings
    stores: AbstractAsyncContextManager[SubscriberStores]
    secrets: SecretBackend
    base_url: str = ""


class OperatorApi:
    """The API while it is open. With `is_dry`, writes are kept in memory, where later requests read them."""

    def __init__(self, deployment: Deployment, is_dry: bool = False) -> None:
        self._deployment = deployment
        self._is_dry = is_dry
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        try:
            self._service = self._runner.run(self._opened())
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

    async def _opened(self) -> Service:
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
        with redirect_stdout(sys.stderr):  # where the function's log lines go, as its answer is what is printed
            reply = self._runner.run(self._answered(method, path, headers, body))
        return Response(reply.status, reply.body, tuple((name.lower(), value) for name, value in reply.headers))

    async def _answered(self, method: str, path: str, headers: Headers, body: bytes) -> Reply:
        scheme, _, host = self._deployment.base_url.partition("://")
        lines = [(name.lower(), value) for name, value in headers if name.lower() not in _HEADERS_LEFT_OUT]
        if host:
            lines += [("host", host), ("x-forwarded-proto", scheme)]
        where, _, query = path.partition("?")

        async def read(most: int) -> bytes:
            if len(body) > most:
                raise body_too_large(most)
            return body

        try:
            return await answer_known(self._service, Request(method, where, query, tuple(lines)), read, OPERATOR)
        except ApiProblem as problem:
            return problem_reply(problem.status, problem.code, problem.detail, problem.errors)
        except Rejected as fault:
            return problem_reply(fault.status, fault.code, fault.detail)


class StoredSecrets:
    """The Secrets port over the place where the operator's commands read and write secrets."""

    def __init__(self, backend: SecretBackend) -> None:
        self._backend = backend
        self._known: dict[str, tuple[str, ...]] = {}

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        if fresh or name not in self._known:
            self._known[name] = await asyncio.to_thread(self._read, name)
        return self._known[name]

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
    """The bus, opened for each publish: most commands publish nothing, and on this machine it may not run."""

    def __init__(self, stores: SubscriberStores) -> None:
        self._stores = stores

    @property
    def max_delay_seconds(self) -> float:
        return 0.0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        try:
            async with self._stores.bus() as bus:
                await bus.publish(topic, messages)
        except StateFault as fault:
            raise Temporary("bus_unavailable", str(fault)) from fault


class OverlayDocuments:
    """The Documents port for a dry run: it reads the documents below, and keeps its own writes in memory.

    A document that it deleted is kept as None. A version that it has written begins with `dry-`.
    """

    def __init__(self, below: Documents) -> None:
        self._below = below
        self._changed: defaultdict[str, dict[str, Document | None]] = defaultdict(dict)
        self._writes = 0

    async def get(self, partition: str, id: str) -> Document | None:
        if id in self._changed[partition]:
            return self._changed[partition][id]
        return await self._below.get(partition, id)

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        own = self._changed[partition]
        ours = {id: each for id, each in own.items() if each and id > after and (not until or id < until)}
        # More than the limit: each of its own writes and deletions may replace one of those that are found.
        found = await self._below.page(partition, limit + len(own), after, until)
        theirs = {each.id: each for each in found if each.id not in own}
        merged = {**theirs, **ours}
        return [merged[id] for id in sorted(merged)][:limit]

    async def write(
        self,
        partition: str,
        id: str,
        text: str,
        expected: str | None = None,
        expires_at: float | None = None,  # noqa: ARG002 the port's
    ) -> str | None:
        if expected is not None and expected != _version(await self.get(partition, id)):
            return None
        self._writes += 1
        self._changed[partition][id] = document = Document(id, text, f"dry-{self._writes}")
        return document.version

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        found = await self.get(partition, id)
        if found is not None and expected is not None and expected != found.version:
            return False
        self._changed[partition][id] = None
        return True


class SilentBus:
    """The Bus port without a bus."""

    max_delay_seconds = 0.0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        """Publish nothing."""


def _version(found: Document | None) -> str:
    return found.version if found else NO_VERSION
