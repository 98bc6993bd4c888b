"""The requests of apprise's plugins, sent through the guarded fetch, which verifies where each request goes.

A plugin of the library apprise calls `requests.post` and the like. `guard` replaces the name `requests` in the
library's modules alone; the package `requests` stays as it is for everyone else. Each call then uses a session whose
only adapter passes the request to the attempt's `Exchange`. Without an exchange in this thread, nothing can be sent.
"""

import io
import sys
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Final, Protocol

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from shared import errors, fetch
from shared.outgoing.request_headers import CONNECTION_HEADERS

METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")
SHARED: Final = frozenset({"RequestException", "Response", "TooManyRedirects", "auth", "codes", "exceptions"})
"""The other names of `requests` that a plugin may use; they send nothing."""


class Exchange(Protocol):
    """The guarded fetch of one attempt. Raises HookchainError."""

    def __call__(self, request: fetch.Outgoing) -> fetch.Fetched: ...


CURRENT: Final[ContextVar[Exchange | None]] = ContextVar("exchange", default=None)
"""The exchange of the attempt that runs in this thread; apprise.py sets it."""


class GuardedAdapter(BaseAdapter):
    def send(  # type: ignore[override] # the other arguments concern a socket, and there is none
        self, request: requests.PreparedRequest, **_: object
    ) -> requests.Response:
        exchange = CURRENT.get()
        if exchange is None:
            raise requests.ConnectionError("no attempt is under way")
        try:
            fetched = exchange(_outgoing(request))
        except errors.HookchainError as error:
            raise requests.ConnectionError(error.code) from error
        return _response(request, fetched)

    def close(self) -> None:
        """Close nothing: each exchange has its own connection."""


class GuardedSession(requests.Session):
    """A session that follows no redirect and reads nothing from the environment."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # no proxy and no password from the environment or from ~/.netrc
        self.adapters.clear()
        self.mount("https://", GuardedAdapter())
        self.mount("http://", GuardedAdapter())

    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
        return super().send(request, **{**kwargs, "allow_redirects": False, "stream": False})


class GuardedRequests(ModuleType):
    """The module that a plugin finds under the name `requests`."""

    def __init__(self) -> None:
        super().__init__("requests")
        self.Session = self.session = GuardedSession
        for method in METHODS:
            setattr(self, method, partial(self.request, method))
        for name in SHARED:
            setattr(self, name, getattr(requests, name))

    @staticmethod
    def request(method: str, url: str, **kwargs: object) -> requests.Response:
        with GuardedSession() as session:
            return session.request(method, url, **kwargs)  # type: ignore[arg-type] # the plugin's own arguments


_GUARDED: Final = GuardedRequests()


def guard() -> None:
    """Let every module of apprise that has been imported send through the current exchange."""
    for name, module in list(sys.modules.items()):
        if name.startswith("apprise.") and getattr(module, "requests", None) is requests:
            module.requests = _GUARDED  # type: ignore[attr-defined] # the line before has found it


def _outgoing(request: requests.PreparedRequest) -> fetch.Outgoing:
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        raise requests.ConnectionError("a body that is a file or a stream is not supported")
    headers = []
    for name, value in request.headers.items():
        if name.lower() not in CONNECTION_HEADERS:
            headers.append((name, value.decode("latin-1") if isinstance(value, bytes) else value))
    return fetch.Outgoing(str(request.method), str(request.url), tuple(headers), body)


def _response(request: requests.PreparedRequest, fetched: fetch.Fetched) -> requests.Response:
    response = requests.Response()
    response.status_code = fetched.status
    response.headers = CaseInsensitiveDict(fetched.headers)
    response.raw = io.BytesIO(fetched.body)
    response.encoding = get_encoding_from_headers(response.headers)
    response.url = str(request.url)
    response.request = request
    return response
