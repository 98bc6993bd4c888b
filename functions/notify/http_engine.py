"""The destinations that speak HTTP: one engine around a kind's two pure functions (http_kind.py).

An attempt reads the secrets that the settings name and the event's large body, asks the kind for the request,
authenticates it, and sends it through the guarded way out. The outcome is decided in this order:

    no connection, no name in DNS     RetryLater, not sooner than a minute: nothing was sent
    sent, and no whole response       Unknown
    a secret is missing or not valid  Disabled
    templates that compute or make too much, a URL or header that is not valid, or an address that is not public:
                                      Failed, by the code of the error
    webhook-delivery: disable         Disabled; `abort-message` is Failed: the receiver decides, whatever its status
    success_when is false for a 2xx   RetryLater
    any other response                what the kind's `outcome` says
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from functions.notify.bounded_texts import bounded_templates
from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import NO_SECRETS, DestinationSecrets
from functions.notify.http_kind import (
    MAX_EXCERPT_CHARACTERS,
    MAX_RESPONSE_BYTES,
    OutgoingRequest,
    Response,
    SecretValues,
)
from shared.claim_check import checked_out
from shared.delivery import Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent, Temporary, Unanswered
from shared.limits import MIB
from shared.outgoing.authenticator import Authenticator
from shared.ports import Fetched, Outgoing

UNREACHABLE_SECONDS: Final = 60.0
"""The least wait after a failed connection or a 429."""
MAX_BODY_BYTES: Final = 16 * MIB
MAX_HEAD_BYTES: Final = 65_536
"""Of a request's URL and headers together."""
DELIVERY_HEADER: Final = "webhook-delivery"
_NETWORK_CODES: Final = frozenset({"host_unreachable", "host_unavailable"})
_MASK: Final = "***"
MIN_MASKED_CHARACTERS: Final = 8
"""A shorter text may be part of the response by chance, by which it is judged."""


class HttpKind(Protocol):
    """The functions of a kind's module. `settings` is the kind's `Settings`, validated."""

    def request(
        self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt
    ) -> OutgoingRequest: ...

    def outcome(self, response: Response) -> Outcome: ...


class HttpDestination:
    """A destination of a kind that speaks HTTP.

    `secret_names` are those that the settings name; `success_when` is the destination's condition for a 2xx.
    """

    def __init__(
        self,
        kind: HttpKind,
        settings: object,
        secret_names: Sequence[str],
        context: Context,
        success_when: str | None = None,
    ) -> None:
        self._kind = kind
        self._settings = settings
        self._blobs = context.blobs
        self._secrets = DestinationSecrets(context.secrets, secret_names)
        self._fetch = context.fetch()
        self._now = context.clock.now
        self._authenticator = Authenticator(context.secrets, self._fetch, context.cloud(), self._now, context.tokens())
        self._failure_in = _failure_in(success_when)
        self.dedupes_repeats = getattr(kind, "DEDUPES_REPEATS", False) is True

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        began, secrets = time.monotonic(), NO_SECRETS
        try:
            async with asyncio.timeout(attempt.timeout_seconds):
                secrets = await self._secrets.read()
                prepared = await self._prepared(delivery, secrets, attempt)
        except TimeoutError as error:
            spent = f"the attempt's {attempt.timeout_seconds:g} s were over before the request was sent"
            raise Temporary("attempt_timeout", spent) from error
        except Temporary as error:
            if error.code != "secret_unusable":
                raise
            return await self._secrets.unless_changed(Disabled(error.detail), secrets)
        if isinstance(prepared, RetryLater):
            return prepared
        left = max(0.001, attempt.timeout_seconds - (time.monotonic() - began))
        outcome = without_secrets(await self._sent(prepared, left, secrets), secrets)
        return await self._secrets.unless_changed(outcome, secrets) if isinstance(outcome, Disabled) else outcome

    async def _prepared(self, delivery: Delivery, secrets: SecretValues, attempt: Attempt) -> "_Prepared | RetryLater":
        """Return the request as it is sent. Raises Temporary, and Permanent."""
        if delivery.event.dataref is not None:
            delivery = replace(delivery, event=await checked_out(delivery.event, self._blobs))
        with bounded_templates():
            request = self._kind.request(delivery, self._settings, secrets, attempt)
        _verify_size(request)
        plain = Outgoing(
            request.method,
            request.url,
            request.headers,
            request.body,
            max_bytes=MAX_RESPONSE_BYTES,
            allow_private=request.allow_private,
            may_repeat=self.dedupes_repeats,
            tls=request.tls,
        )
        try:
            outgoing = await self._authenticator.authenticate(request.auth, plain) if request.auth else plain
        except Temporary as error:
            if error.code not in _NETWORK_CODES:
                raise
            # The server that gives tokens is the destination's, as our own secret store is not.
            return RetryLater(f"no credentials: {error.detail}", UNREACHABLE_SECONDS)
        return _Prepared(request, plain, outgoing)

    async def _sent(self, prepared: "_Prepared", seconds: float, secrets: SecretValues) -> Outcome:
        try:
            fetched = await self._answer(prepared, seconds, secrets)
        except Unanswered as error:
            return Unknown(error.detail)
        except Temporary as error:
            if error.code not in _NETWORK_CODES:
                raise
            return RetryLater(error.detail, UNREACHABLE_SECONDS)
        response = Response(fetched.status, fetched.headers, fetched.body, self._now(), fetched.is_cut)
        return with_answer(self._outcome(response), response)

    async def _answer(self, prepared: "_Prepared", seconds: float, secrets: SecretValues) -> Fetched:
        """Return the response, without credentials. After a 401 to a token, send the request once more with a new one.

        They are masked before the response is cut for people, so that no beginning of one is left.
        """
        outgoing, schemes = prepared.outgoing._replace(timeout_seconds=seconds), prepared.request.auth
        fetched = await self._fetch.fetch(outgoing)
        if fetched.status == 401 and schemes and self._authenticator.forget_token(schemes, outgoing):
            again = await self._authenticator.authenticate(schemes, prepared.plain)
            outgoing = again._replace(timeout_seconds=seconds)
            fetched = await self._fetch.fetch(outgoing)
        credentials = [value for values in secrets.values() for value in values]
        return _without_credentials(fetched, [*credentials, *_sent_credentials(outgoing)])

    def _outcome(self, response: Response) -> Outcome:
        wish = (response.header(DELIVERY_HEADER) or "").strip().lower()
        if wish == "disable":
            return Disabled(f"the receiver asked for no further deliveries ({DELIVERY_HEADER}: disable)")
        if wish == "abort-message":
            return Failed(
                "refused_by_receiver", f"the receiver wants no further attempt ({DELIVERY_HEADER}: abort-message)"
            )
        if 200 <= response.status < 300 and (reason := self._failure_in(response)):
            return RetryLater(reason, response.retry_after_seconds)
        outcome = self._kind.outcome(response)
        if response.status == 429 and isinstance(outcome, RetryLater):
            return replace(outcome, after_seconds=max(outcome.after_seconds or 0.0, UNREACHABLE_SECONDS))
        return outcome


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The kind's request, and what is sent of it: `plain` without authentication, `outgoing` with it."""

    request: OutgoingRequest
    plain: Outgoing
    outgoing: Outgoing


def _sent_credentials(outgoing: Outgoing) -> list[str]:
    """Return what authenticates the request in its own headers, such as an access token."""
    named = ("authorization", "x-amz-security-token")
    return [value.rpartition(" ")[2] for name, value in outgoing.headers if name.lower() in named]


def _without_credentials(fetched: Fetched, credentials: Sequence[str]) -> Fetched:
    body = fetched.body
    for value in credentials:
        if len(value) >= MIN_MASKED_CHARACTERS:
            body = body.replace(value.encode(), _MASK.encode())
    return fetched if body is fetched.body else fetched._replace(body=body)


def _verify_size(request: OutgoingRequest) -> None:
    """Raises Permanent where templates, each of which is bounded, make too much together."""
    head = len(request.url) + sum(len(name) + len(value) for name, value in request.headers)
    if len(request.body) > MAX_BODY_BYTES:
        reason = f"the request's body has more than {MAX_BODY_BYTES // MIB} MiB: {len(request.body):,} bytes"
        raise Permanent("output_too_large", reason)
    if head > MAX_HEAD_BYTES:
        raise Permanent(
            "output_too_large", f"the request's URL and headers have {head:,} bytes; {MAX_HEAD_BYTES:,} fit"
        )


def _failure_in(success_when: str | None) -> Callable[[Response], str | None]:
    """Return what says why a 2xx is no success by the condition."""
    if success_when is None:
        return lambda _: None
    from functions.notify.success_when import SuccessCondition  # it brings jmespath, which few destinations need

    return SuccessCondition(success_when).failure_in


def with_answer(outcome: Outcome, response: Response) -> Outcome:
    """Return the outcome with the beginning of the response, unless the kind chose another text."""
    return outcome if outcome.answer else replace(outcome, answer=response.excerpt)


def without_secrets(outcome: Outcome, secrets: SecretValues) -> Outcome:
    """Return the outcome without the values of secrets, which some receivers repeat in their responses."""
    answer = outcome.answer
    for value in (value for values in secrets.values() for value in values):
        answer = answer.replace(value, _MASK)
    return outcome if answer == outcome.answer else replace(outcome, answer=answer[:MAX_EXCERPT_CHARACTERS])
