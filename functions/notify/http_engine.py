"""The engine of the kinds that send HTTP requests (http_kind.py): it sends a request and decides the outcome.

Three classes share the work of an attempt:

    TimedAttempts    reads the secrets that the settings name and a large event's data, has the request prepared and
                     sent, and ends the attempt by its deadline. Destinations of other kinds use it, too
    HttpDestination  asks the kind for the request, and decides the outcome
    HttpSender       authenticates one request, and sends it through the guarded fetch

The outcome is decided in this order:

    no connection, no name in DNS     RetryLater, after a minute at least: nothing was sent
    sent, and no complete response    Unknown
    a secret is missing or not valid  Disabled; RetryLater with a pause if the platform denies reading it
    a secret holds a URL whose address is not public
                                      Disabled
    templates that compute or make too much, a URL or header that is not valid, or an address that is not public
                                      Failed, with the code of the error
    success_when is false for a 2xx   RetryLater
    any other response                the result of the kind's `outcome`

If the response is no success, its header `webhook-delivery` decides instead: `disable` is Disabled, and `abort-message`
is Failed. A success with `disable` stays Delivered, and disables the destination.

Without `success_when`, a kind's `doubt_of` may warn that a success is perhaps none. The delivery stays delivered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from types import UnionType
from typing import Final, Protocol, TypeVar

from functions.notify import bounded_texts, destination, destination_secrets, http_kind
from shared import claim_check, credential_masks, errors, fetch, limits, logs, own_modules, time_bound
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.outgoing import allowed_urls, authenticator, request_headers

DELIVERY_HEADER: Final = "webhook-delivery"
UNREACHABLE_SECONDS: Final = 60.0
"""The least wait after a failed connection or a 429."""
MAX_BODY_BYTES: Final = 16 * limits.MIB
MAX_HEAD_BYTES: Final = 65_536
"""The size of a request's URL and headers together."""
_NETWORK_CODES: Final = frozenset({"host_unreachable", "host_unavailable"})


Prepared = TypeVar("Prepared")
"""What a destination has to send in an attempt, such as a request."""


class HttpKind(Protocol):
    """The functions of a kind's module. `settings` is the kind's `Settings`, validated."""

    def request(
        self, delivery: Delivery, settings: object, secrets: http_kind.SecretValues, attempt: destination.Attempt
    ) -> http_kind.OutgoingRequest: ...

    def outcome(self, response: http_kind.Response) -> Outcome: ...


def _verify_returned(function: str, returned: object, kind: type | UnionType) -> None:
    """Raise Permanent (`destination_fault`) if an operator's own function, such as one without `return`, returned
    another kind of object."""
    if not isinstance(returned, kind):
        reason = f"the destination's code failed: `{function}` returned {type(returned).__name__}"
        raise errors.Permanent("destination_fault", reason)


class HttpDestination:
    """A destination of a kind that sends HTTP requests.

    `attempt` prepares a delivery's request, and gives it to `send`, which gives it to `exchange` and makes the outcome
    of the response. A kind that sends in another way replaces one of these two.
    """

    def __init__(
        self,
        kind: HttpKind,
        settings: object,
        secret_names: Sequence[str | None],
        context: destination.Context,
        success_when: str | None = None,
        secrets: "AttemptSecrets | None" = None,
        max_response_bytes: int = http_kind.MAX_RESPONSE_BYTES,
        name: str = "",
    ) -> None:
        """Connect the destination `name`. Nothing is sent yet.

        secret_names  the names of the secrets in the settings; None for a setting that names none
        success_when  the destination's condition for a 2xx
        secrets       reads the secrets instead, for a destination that keeps them elsewhere

        If the settings have an attribute `is_template_free` that is True, the time of templates is not bounded.
        """
        is_bounded = getattr(settings, "is_template_free", False) is not True
        self._max_response_bytes = max_response_bytes
        self._kind = kind
        self._settings = settings
        self._bound: type[AbstractContextManager[None]] = bounded_texts.bounded_templates if is_bounded else nullcontext
        own_secrets = destination_secrets.DestinationSecrets(context.secrets, secret_names)
        self._attempts = TimedAttempts(context, secrets or own_secrets)
        self._is_own = own_modules.is_own(kind.outcome)
        self._sender = HttpSender(context)
        self._failure_in = _failure_in(success_when)
        self._name = name
        self._check_after = getattr(kind, "check_after", None)
        self._doubt_of = getattr(kind, "doubt_of", None) if success_when is None else None
        self._has_warned = False
        self.dedupes_repeats = getattr(kind, "DEDUPES_REPEATS", False) is True

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Deliver once, and return the outcome by the table in the module's docstring. As `Destination.attempt`."""

        def prepare(whole: Delivery, secrets: http_kind.SecretValues) -> http_kind.OutgoingRequest:
            with self._bound():
                request = self._kind.request(whole, self._settings, secrets, attempt)
            if self._is_own:
                _verify_returned("request", request, http_kind.OutgoingRequest)
            verify_size(request)
            return request

        return await self._attempts.make(delivery, attempt, prepare, self.send)

    async def send(
        self, request: http_kind.OutgoingRequest, deadline: float, secrets: http_kind.SecretValues
    ) -> Outcome:
        """Send the request of a delivery and return the outcome. `deadline` is a time of the event loop.

        Raises Permanent, and Temporary, for example for a secret that cannot be part of a request.
        """
        response = await self.exchange(request, deadline, secrets)
        if not isinstance(response, http_kind.Response):
            return response
        check = self._check_after(response, request) if self._check_after else None
        if check is None:
            return with_answer(self._outcome(response), response)
        check_response = await self.exchange(check, deadline, secrets)
        if isinstance(check_response, http_kind.Response):
            outcome: Outcome = self._kind.outcome_of_check(check_response, request)  # type: ignore[attr-defined] # see http_kind.py
            return with_answer(outcome, check_response)
        if isinstance(check_response, Unknown):  # the check changes nothing, so it may be repeated
            return RetryLater(f"what is there already could not be read: {check_response.reason}", UNREACHABLE_SECONDS)
        return check_response

    async def exchange(
        self, request: http_kind.OutgoingRequest, deadline: float, secrets: http_kind.SecretValues
    ) -> http_kind.Response | RetryLater | Unknown:
        """Send the request and return the response, or the outcome if none came. Raises as `send` does."""
        try:
            return await self._sender.send(
                request, deadline, secrets, may_repeat=self.dedupes_repeats, max_bytes=self._max_response_bytes
            )
        except errors.Unanswered as error:
            return Unknown(error.detail)
        except errors.Temporary as error:
            return outcome_of_network_fault(error)
        except fetch.NameBlocked as error:
            return RetryLater(f"{error.code}: {error.detail}")

    def _outcome(self, response: http_kind.Response) -> Outcome:
        """Return the outcome of a response, and of what its header DELIVERY_HEADER asks for."""
        outcome = self._outcome_without_instruction(response)
        is_delivered = isinstance(outcome, Delivered)
        instruction = (response.header(DELIVERY_HEADER) or "").strip().lower()
        if instruction == "disable":
            reason = f"the receiver asked for no further deliveries ({DELIVERY_HEADER}: disable)"
            return Delivered(outcome.answer, disable_reason=reason) if is_delivered else Disabled(reason)
        if instruction == "abort-message" and not is_delivered:
            return Failed(
                "refused_by_receiver", f"the receiver wants no further attempt ({DELIVERY_HEADER}: abort-message)"
            )
        return outcome

    def _outcome_without_instruction(self, response: http_kind.Response) -> Outcome:
        """Return the outcome of a response: by `success_when`, then by the kind."""
        if 200 <= response.status < 300 and (reason := self._failure_in(response)):
            return RetryLater(reason, response.retry_after_seconds)
        # A receiver's answer may make a pattern in an operator's own function run for days.
        with bounded_texts.bounded_templates() if self._is_own else nullcontext():
            outcome = self._kind.outcome(response)
        if self._is_own:
            _verify_returned("outcome", outcome, Outcome)
        if self._doubt_of is not None and isinstance(outcome, Delivered) and (doubt := self._doubt_of(response)):
            self._warn_once(response)
            return Delivered(doubt)
        if response.status == 429 and isinstance(outcome, RetryLater):
            return replace(outcome, after_seconds=max(outcome.after_seconds or 0.0, UNREACHABLE_SECONDS))
        return outcome

    def _warn_once(self, response: http_kind.Response) -> None:
        """Log the doubt once in this process. The record of each attempt has it in full."""
        if not self._has_warned:
            self._has_warned = True
            logs.log(
                "WARNING",
                "delivered, perhaps without success",
                function="notify",
                destination=self._name,
                status=response.status,
                reason="its answer may say so (`hookchain events show`): check the URL, or set `success_when`",
            )


def _failure_in(success_when: str | None) -> Callable[[http_kind.Response], str | None]:
    """Return the function that returns why a 2xx is no success by the condition, or None if it is one."""
    if success_when is None:
        return lambda _: None
    # Imported here, because it imports jmespath, which few destinations need.
    from functions.notify.success_when import SuccessCondition

    return SuccessCondition(success_when).failure_in


def with_answer(outcome: Outcome, response: http_kind.Response) -> Outcome:
    """Return the outcome with the beginning of the response, unless the kind chose another text."""
    return outcome if outcome.answer else replace(outcome, answer=response.excerpt)


class AttemptSecrets(Protocol):
    """The secrets of an attempt. The methods do what those of DestinationSecrets do."""

    async def read(self) -> http_kind.SecretValues: ...

    def outcome_of_fault(self, error: errors.Temporary) -> Outcome: ...

    async def unless_changed(self, outcome: Outcome, used: http_kind.SecretValues) -> Outcome: ...


class TimedAttempts:
    """The attempts of a destination, each of which ends by its deadline."""

    def __init__(self, context: destination.Context, secrets: AttemptSecrets) -> None:
        self._secrets = secrets
        self._blobs = context.blobs
        self._deadlines = time_bound.Deadlines()

    async def make(
        self,
        delivery: Delivery,
        attempt: destination.Attempt,
        prepare: Callable[[Delivery, http_kind.SecretValues], Prepared],
        send: Callable[[Prepared, float, http_kind.SecretValues], Awaitable[Outcome]],
    ) -> Outcome:
        """Read the secrets and the event's large body, prepare the request, and send it.

        `send` gets the deadline, a time of the event loop. Raises Temporary where nothing was sent, and Permanent.
        """
        deadline = asyncio.get_running_loop().time() + attempt.timeout_seconds
        secrets = destination_secrets.NO_SECRETS
        try:
            secrets = await self._deadlines.wait(self._secrets.read(), deadline)
            if delivery.event.dataref is not None:
                event = await self._deadlines.wait(claim_check.checked_out(delivery.event, self._blobs), deadline)
                delivery = replace(delivery, event=event)
            outcome = await send(prepare(delivery, secrets), deadline, secrets)
        except TimeoutError as error:
            spent = f"the attempt's {attempt.timeout_seconds:g} s were over before the request was sent"
            raise errors.Temporary("attempt_timeout", spent) from error
        except errors.Temporary as error:
            outcome = self._secrets.outcome_of_fault(error)
        return await self._secrets.unless_changed(_without_secrets(outcome, secrets), secrets)


def outcome_of_network_fault(error: errors.Temporary) -> RetryLater:
    """Return the outcome where no connection was made: nothing was sent. Raises any other error."""
    if error.code not in _NETWORK_CODES:
        raise error
    return RetryLater(error.detail, UNREACHABLE_SECONDS)


class HttpSender:
    """Sends the requests of a destination through the guarded fetch."""

    def __init__(self, context: destination.Context) -> None:
        self._fetch = context.fetch()
        self._now = context.clock.now
        self._authenticator = authenticator.Authenticator(
            context.secrets, self._fetch, context.cloud(), self._now, context.tokens()
        )

    async def send(
        self,
        request: http_kind.OutgoingRequest,
        deadline: float,
        secrets: http_kind.SecretValues,
        *,
        may_repeat: bool = False,
        max_bytes: int = http_kind.MAX_RESPONSE_BYTES,
    ) -> http_kind.Response:
        """Send the request and return the response, in which credentials are masked.

        After a 401 to a token, the request is sent once more with a new token. `may_repeat`: the receiver acts once on
        a request that is sent twice. Raises Unanswered, Temporary and Permanent.

        Credentials are masked before the response is cut for people. Otherwise the beginning of one could be left.
        """
        plain = fetch.Outgoing(
            method=request.method,
            url=request.url,
            headers=request.headers,
            body=request.body,
            timeout_seconds=_seconds_until(deadline),
            max_bytes=max_bytes,
            allow_private=request.allow_private,
            may_repeat=may_repeat,
            tls=request.tls,
            allow_http=request.allow_http,
        )
        outgoing = await self._authenticated(request, plain, deadline) if request.auth else plain
        _verify_secrets(outgoing, secrets)
        fetched = await self._fetch.fetch(outgoing)
        if fetched.status == 401 and request.auth and self._authenticator.forget_token(request.auth, outgoing):
            outgoing = await self._authenticated(request, plain, deadline)
            fetched = await self._fetch.fetch(outgoing)
        credentials = [*_values(secrets), *_sent_credentials(outgoing), *request.credentials]
        return self._response(fetched, outgoing.url, credentials)

    def _response(self, fetched: fetch.Fetched, url: str, credentials: list[str]) -> http_kind.Response:
        """Return the response to a request to `url`, with the credentials masked in its body and in its `Location`."""
        body = credential_masks.without_credentials(fetched.body, credentials)
        location = fetched.header("location") if 300 <= fetched.status < 400 else None
        if location is None:
            return http_kind.Response(fetched.status, fetched.headers, body, self._now(), fetched.is_cut)
        # If the URL itself is a secret, parts of it may be in the address of the redirect.
        is_shown = "@" not in location and not any("://" in each for each in credentials)
        address = credential_masks.masked(location.partition("?")[0], credentials) if is_shown else ""
        headers = (("location", address), *[pair for pair in fetched.headers if pair[0] != "location"])
        redirect_to = fetch.redirect_target(url, location) if fetched.status in fetch.REDIRECTS else ""
        return http_kind.Response(fetched.status, headers, body, self._now(), fetched.is_cut, redirect_to)

    async def _authenticated(
        self, request: http_kind.OutgoingRequest, outgoing: fetch.Outgoing, deadline: float
    ) -> fetch.Outgoing:
        """Return the request with its `auth`, and with the time that is left.

        Where no token is given in time, it raises Temporary as for a host that is out of reach: the server that gives
        tokens is the destination's, as our own secret store is not.
        """
        try:
            async with asyncio.timeout_at(deadline):
                outgoing = await self._authenticator.authenticate(request.auth, outgoing)
        except TimeoutError as error:
            raise errors.Temporary("host_unreachable", "no access token came in time; nothing was sent") from error
        return outgoing._replace(timeout_seconds=_seconds_until(deadline))


def verify_size(request: http_kind.OutgoingRequest) -> None:
    """Raise Permanent if the request is too large. Each template is bounded, but all of them together may make more."""
    head = len(request.url) + sum(map(len, chain.from_iterable(request.headers)))
    if len(request.body) > MAX_BODY_BYTES:
        reason = f"the request's body has more than {MAX_BODY_BYTES // limits.MIB} MiB: {len(request.body):,} bytes"
        raise errors.Permanent("output_too_large", reason)
    if head > MAX_HEAD_BYTES:
        raise errors.Permanent(
            "output_too_large", f"the request's URL and headers have {head:,} bytes; {MAX_HEAD_BYTES:,} fit"
        )


def _seconds_until(deadline: float) -> float:
    # After the deadline, this timeout ends the request at once.
    return max(0.001, deadline - asyncio.get_running_loop().time())


def _values(secrets: http_kind.SecretValues) -> list[str]:
    return [value for values in secrets.values() for value in values]


def _sent_credentials(outgoing: fetch.Outgoing) -> list[str]:
    """Return the credentials in the request's own headers, such as an access token."""
    credential_headers = ("authorization", "x-amz-security-token")
    return [value.rpartition(" ")[2] for name, value in outgoing.headers if name.lower() in credential_headers]


def _verify_secrets(outgoing: fetch.Outgoing, secrets: http_kind.SecretValues) -> None:
    """Raise Temporary (`secret_unusable`) if a header or the URL cannot be sent because of a secret in it.

    Otherwise, each delivery would become a dead letter because of a secret that the operator can correct.
    """
    for name, values in secrets.items():
        for value in values:
            if not request_headers.is_header_value(value) and any(value in text for _, text in outgoing.headers):
                raise http_kind.unusable_secret(name, "has a character that no header can hold, such as a curly quote")
            address = value.strip()
            if "://" in address and address in outgoing.url:
                try:
                    allowed_urls.read_target(address, outgoing.allow_private)
                except errors.Permanent as error:
                    raise http_kind.unusable_secret(name, f"is no URL to send to ({error.detail})") from error


def _without_secrets(outcome: Outcome, secrets: http_kind.SecretValues) -> Outcome:
    """Return the outcome without the values of secrets, which some receivers repeat in their responses."""
    answer = credential_masks.masked(outcome.answer, _values(secrets))
    return outcome if answer == outcome.answer else replace(outcome, answer=answer[: http_kind.MAX_EXCERPT_CHARACTERS])
