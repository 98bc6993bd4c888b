"""The destinations that speak HTTP: one engine around a kind's two pure functions (http_kind.py).

An attempt reads the secrets that the settings name and the event's large body, asks the kind for the request,
authenticates it, and sends it through the guarded way out. The outcome is decided in this order:

    no connection, no name in DNS     RetryLater, not sooner than a minute: nothing was sent
    sent, and no whole response       Unknown
    a secret is missing or not valid  Disabled; RetryLater with a pause where the platform does not let us read it
    a secret holds a URL whose address is not public
                                      Disabled
    templates that compute or make too much, a URL or header that is not valid, or an address that is not public:
                                      Failed, by the code of the error
    webhook-delivery: disable         Disabled; `abort-message` is Failed: the receiver decides, whatever its status
    success_when is false for a 2xx   RetryLater
    any other response                what the kind's `outcome` says
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from functions.notify.bounded_texts import bounded_templates
from functions.notify.credential_masks import masked, without_credentials
from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import NO_SECRETS, DestinationSecrets
from functions.notify.http_kind import (
    MAX_EXCERPT_CHARACTERS,
    MAX_RESPONSE_BYTES,
    OutgoingRequest,
    Response,
    SecretValues,
    unusable_secret,
)
from shared.claim_check import checked_out
from shared.delivery import Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent, Temporary, Unanswered
from shared.limits import MIB
from shared.outgoing.authenticator import Authenticator
from shared.outgoing.headers import is_header_value
from shared.outgoing.url import read_target
from shared.ports import Fetched, Outgoing

UNREACHABLE_SECONDS: Final = 60.0
"""The least wait after a failed connection or a 429."""
MAX_BODY_BYTES: Final = 16 * MIB
MAX_HEAD_BYTES: Final = 65_536
"""Of a request's URL and headers together."""
DELIVERY_HEADER: Final = "webhook-delivery"
_NETWORK_CODES: Final = frozenset({"host_unreachable", "host_unavailable"})


class HttpKind(Protocol):
    """The functions of a kind's module. `settings` is the kind's `Settings`, validated."""

    def request(
        self, delivery: Delivery, settings: object, secrets: SecretValues, attempt: Attempt
    ) -> OutgoingRequest: ...

    def outcome(self, response: Response) -> Outcome: ...


class AttemptSecrets(Protocol):
    """The secrets of an attempt, as DestinationSecrets has them."""

    async def read(self) -> SecretValues: ...

    def outcome_of_fault(self, error: Temporary) -> Outcome: ...

    async def unless_changed(self, outcome: Outcome, used: SecretValues) -> Outcome: ...


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
        secrets: "AttemptSecrets | None" = None,
    ) -> None:
        """`secrets`: those of an attempt, where they are others than `secret_names`."""
        self._kind = kind
        self._settings = settings
        self._blobs = context.blobs
        self._secrets: AttemptSecrets = secrets or DestinationSecrets(context.secrets, secret_names)
        self._fetch = context.fetch()
        self._now = context.clock.now
        self._authenticator = Authenticator(context.secrets, self._fetch, context.cloud(), self._now, context.tokens())
        self._failure_in = _failure_in(success_when)
        self.dedupes_repeats = getattr(kind, "DEDUPES_REPEATS", False) is True

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        deadline, secrets = asyncio.get_running_loop().time() + attempt.timeout_seconds, NO_SECRETS
        try:
            async with asyncio.timeout_at(deadline):
                secrets = await self._secrets.read()
                request = await self._request(delivery, secrets, attempt)
            outcome = await self._sent(request, deadline, secrets)
        except TimeoutError as error:
            spent = f"the attempt's {attempt.timeout_seconds:g} s were over before the request was sent"
            raise Temporary("attempt_timeout", spent) from error
        except Temporary as error:
            outcome = self._secrets.outcome_of_fault(error)
        return await self._secrets.unless_changed(without_secrets(outcome, secrets), secrets)

    async def _request(self, delivery: Delivery, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:
        """Return the kind's request. Raises Temporary, and Permanent."""
        if delivery.event.dataref is not None:
            delivery = replace(delivery, event=await checked_out(delivery.event, self._blobs))
        with bounded_templates():
            request = self._kind.request(delivery, self._settings, secrets, attempt)
        _verify_size(request)
        return request

    async def _sent(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> Outcome:
        """Return the outcome. Raises Permanent, and Temporary, also for a secret that no request can carry."""
        try:
            fetched = await self._answer(request, deadline, secrets)
        except Unanswered as error:
            return Unknown(error.detail)
        except Temporary as error:
            if error.code not in _NETWORK_CODES:
                raise
            return RetryLater(error.detail, UNREACHABLE_SECONDS)
        response = Response(fetched.status, fetched.headers, fetched.body, self._now(), fetched.is_cut)
        return with_answer(self._outcome(response), response)

    async def _answer(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> Fetched:
        """Return the response, without credentials. After a 401 to a token, send the request once more with a new one.

        They are masked before the response is cut for people, so that no beginning of one is left.
        """
        outgoing = await self._authenticated(request, deadline, secrets)
        fetched = await self._fetch.fetch(outgoing)
        if fetched.status == 401 and request.auth and self._authenticator.forget_token(request.auth, outgoing):
            outgoing = await self._authenticated(request, deadline, secrets)
            fetched = await self._fetch.fetch(outgoing)
        body = without_credentials(
            fetched.body, [*_values(secrets), *_sent_credentials(outgoing), *request.credentials]
        )
        return fetched if body is fetched.body else fetched._replace(body=body)

    async def _authenticated(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> Outgoing:
        """Return the request as it is sent, in the time that is left.

        Where no token is given in time, it raises Temporary as for a host that is out of reach: the server that gives
        tokens is the destination's, as our own secret store is not.
        """
        outgoing = Outgoing(
            request.method,
            request.url,
            request.headers,
            request.body,
            max_bytes=MAX_RESPONSE_BYTES,
            allow_private=request.allow_private,
            may_repeat=self.dedupes_repeats,
            tls=request.tls,
            allow_http=request.allow_http,
        )
        if request.auth:
            try:
                async with asyncio.timeout_at(deadline):
                    outgoing = await self._authenticator.authenticate(request.auth, outgoing)
            except TimeoutError as error:
                raise Temporary("host_unreachable", "no access token came in time; nothing was sent") from error
        _verify_secrets(outgoing, secrets)
        left = max(0.001, deadline - asyncio.get_running_loop().time())
        return outgoing._replace(timeout_seconds=left)

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
    answer = masked(outcome.answer, _values(secrets))
    return outcome if answer == outcome.answer else replace(outcome, answer=answer[:MAX_EXCERPT_CHARACTERS])
