"""The parts of an attempt over HTTP: its time, its secrets, and the sending of an authenticated request."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import NO_SECRETS
from functions.notify.http_kind import (
    MAX_EXCERPT_CHARACTERS,
    MAX_RESPONSE_BYTES,
    OutgoingRequest,
    Response,
    SecretValues,
    unusable_secret,
)
from shared.claim_check import checked_out
from shared.credential_masks import masked, without_credentials
from shared.delivery import Delivery, Outcome, RetryLater
from shared.errors import Permanent, Temporary
from shared.fetch import Fetched, Outgoing
from shared.limits import MIB
from shared.outgoing.authenticator import Authenticator
from shared.outgoing.headers import is_header_value
from shared.outgoing.url import read_target
from shared.ports import Blobs
from shared.time_bound import Deadlines

UNREACHABLE_SECONDS: Final = 60.0
"""The least wait after a failed connection or a 429."""
MAX_BODY_BYTES: Final = 16 * MIB
MAX_HEAD_BYTES: Final = 65_536
"""Of a request's URL and headers together."""
_NETWORK_CODES: Final = frozenset({"host_unreachable", "host_unavailable"})

Prepared = TypeVar("Prepared")


class AttemptSecrets(Protocol):
    """The secrets of an attempt, as DestinationSecrets has them."""

    async def read(self) -> SecretValues: ...

    def outcome_of_fault(self, error: Temporary) -> Outcome: ...

    async def unless_changed(self, outcome: Outcome, used: SecretValues) -> Outcome: ...


async def attempt_in_time(
    store: AttemptSecrets,
    blobs: Blobs | None,
    deadlines: Deadlines,
    delivery: Delivery,
    attempt: Attempt,
    prepare: Callable[[Delivery, SecretValues], Prepared],
    send: Callable[[Prepared, float, SecretValues], Awaitable[Outcome]],
) -> Outcome:
    """Read the secrets and the event's large body, prepare what is sent, and send it by the attempt's deadline.

    `send` gets the deadline, a time of the event loop. Raises Temporary where nothing was sent, and Permanent.
    """
    deadline, secrets = asyncio.get_running_loop().time() + attempt.timeout_seconds, NO_SECRETS
    try:
        secrets = await deadlines.wait(store.read(), deadline)
        if delivery.event.dataref is not None:
            event = await deadlines.wait(checked_out(delivery.event, blobs), deadline)
            delivery = replace(delivery, event=event)
        outcome = await send(prepare(delivery, secrets), deadline, secrets)
    except TimeoutError as error:
        spent = f"the attempt's {attempt.timeout_seconds:g} s were over before the request was sent"
        raise Temporary("attempt_timeout", spent) from error
    except Temporary as error:
        outcome = store.outcome_of_fault(error)
    return await store.unless_changed(_without_secrets(outcome, secrets), secrets)


def outcome_of_network_fault(error: Temporary) -> RetryLater:
    """Return the outcome where no connection was made: nothing was sent. Raises any other error."""
    if error.code not in _NETWORK_CODES:
        raise error
    return RetryLater(error.detail, UNREACHABLE_SECONDS)


class HttpSender:
    """Sends the requests of a destination through the guarded fetch."""

    def __init__(self, context: Context) -> None:
        self._fetch = context.fetch()
        self._now = context.clock.now
        self._authenticator = Authenticator(context.secrets, self._fetch, context.cloud(), self._now, context.tokens())

    async def send(
        self,
        request: OutgoingRequest,
        deadline: float,
        secrets: SecretValues,
        *,
        may_repeat: bool = False,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Response:
        """Return the response, without credentials. After a 401 to a token, send the request once more with a new one.

        They are masked before the response is cut for people, so that no beginning of one is left. `may_repeat`: the
        receiver acts once on a request that is sent twice. Raises Unanswered, Temporary and Permanent.
        """
        plain = Outgoing(
            request.method,
            request.url,
            request.headers,
            request.body,
            _seconds_until(deadline),
            max_bytes,
            request.allow_private,
            may_repeat,
            request.tls,
            request.allow_http,
        )
        outgoing = await self._authenticated(request, plain, deadline, secrets)
        fetched = await self._fetch.fetch(outgoing)
        if fetched.status == 401 and request.auth and self._authenticator.forget_token(request.auth, outgoing):
            outgoing = await self._authenticated(request, plain, deadline, secrets)
            fetched = await self._fetch.fetch(outgoing)
        return self._response(fetched, [*_values(secrets), *_sent_credentials(outgoing), *request.credentials])

    def _response(self, fetched: Fetched, credentials: list[str]) -> Response:
        body = without_credentials(fetched.body, credentials)
        return Response(fetched.status, fetched.headers, body, self._now(), fetched.is_cut)

    async def _authenticated(
        self, request: OutgoingRequest, outgoing: Outgoing, deadline: float, secrets: SecretValues
    ) -> Outgoing:
        """Return the request as it is sent, in the time that is left.

        Where no token is given in time, it raises Temporary as for a host that is out of reach: the server that gives
        tokens is the destination's, as our own secret store is not.
        """
        if request.auth:
            try:
                async with asyncio.timeout_at(deadline):
                    outgoing = await self._authenticator.authenticate(request.auth, outgoing)
            except TimeoutError as error:
                raise Temporary("host_unreachable", "no access token came in time; nothing was sent") from error
            outgoing = outgoing._replace(timeout_seconds=_seconds_until(deadline))
        _verify_secrets(outgoing, secrets)
        return outgoing


def _seconds_until(deadline: float) -> float:
    return max(0.001, deadline - asyncio.get_running_loop().time())


def verify_size(request: OutgoingRequest) -> None:
    """Raises Permanent where templates, each of which is bounded, make too much together."""
    head = len(request.url) + sum([len(name) + len(value) for name, value in request.headers])
    if len(request.body) > MAX_BODY_BYTES:
        reason = f"the request's body has more than {MAX_BODY_BYTES // MIB} MiB: {len(request.body):,} bytes"
        raise Permanent("output_too_large", reason)
    if head > MAX_HEAD_BYTES:
        raise Permanent(
            "output_too_large", f"the request's URL and headers have {head:,} bytes; {MAX_HEAD_BYTES:,} fit"
        )


def _values(secrets: SecretValues) -> list[str]:
    return [value for values in secrets.values() for value in values]


def _sent_credentials(outgoing: Outgoing) -> list[str]:
    """Return what authenticates the request in its own headers, such as an access token."""
    named = ("authorization", "x-amz-security-token")
    return [value.rpartition(" ")[2] for name, value in outgoing.headers if name.lower() in named]


def _verify_secrets(outgoing: Outgoing, secrets: SecretValues) -> None:
    """Raises Temporary (`secret_unusable`) where a secret is what makes a header or the URL one that cannot be sent.

    Without this, each delivery would become a dead letter for a secret that the operator can set again.
    """
    for name, values in secrets.items():
        for value in values:
            if not is_header_value(value) and any(value in text for _, text in outgoing.headers):
                raise unusable_secret(name, "has a character that no header can hold, such as a curly quote")
            address = value.strip()
            if "://" in address and address in outgoing.url:
                try:
                    read_target(address, outgoing.allow_private)
                except Permanent as error:
                    raise unusable_secret(name, f"is no URL to send to ({error.detail})") from error


def _without_secrets(outcome: Outcome, secrets: SecretValues) -> Outcome:
    """Return the outcome without the values of secrets, which some receivers repeat in their responses."""
    answer = masked(outcome.answer, _values(secrets))
    return outcome if answer == outcome.answer else replace(outcome, answer=answer[:MAX_EXCERPT_CHARACTERS])
