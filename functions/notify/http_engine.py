"""The destinations that speak HTTP: one engine around a kind's two pure functions (http_kind.py).

An attempt reads the secrets that the settings name and the event's large body, asks the kind for the request,
authenticates it, and sends it through the guarded fetch. The outcome is decided in this order:

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

Without `success_when`, a kind's `doubt_of` says why a success may be none; the delivery stays delivered.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Final, Protocol

from functions.notify.bounded_texts import bounded_templates
from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import DestinationSecrets
from functions.notify.http_attempt import (
    UNREACHABLE_SECONDS,
    AttemptSecrets,
    HttpSender,
    attempt_in_time,
    outcome_of_network_fault,
    verify_size,
)
from functions.notify.http_kind import MAX_RESPONSE_BYTES, OutgoingRequest, Response, SecretValues
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary, Unanswered
from shared.logs import log
from shared.time_bound import Deadlines

DELIVERY_HEADER: Final = "webhook-delivery"


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
        secrets: "AttemptSecrets | None" = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        name: str = "",
    ) -> None:
        """`secrets`: those of an attempt, where they are others than `secret_names`. `name` is the destination's.

        Settings of which a request takes no template may have the attribute `is_template_free`, which is True.
        """
        is_bounded = getattr(settings, "is_template_free", False) is not True
        self._max_response_bytes = max_response_bytes
        self._kind = kind
        self._settings = settings
        self._blobs = context.blobs
        self._deadlines = Deadlines()
        self._bound: type[AbstractContextManager[None]] = bounded_templates if is_bounded else nullcontext
        self._secrets: AttemptSecrets = secrets or DestinationSecrets(context.secrets, secret_names)
        self._sender = HttpSender(context)
        self._failure_in = _failure_in(success_when)
        self._name = name
        self._doubt_of = getattr(kind, "doubt_of", None) if success_when is None else None
        self._has_warned = False
        self.dedupes_repeats = getattr(kind, "DEDUPES_REPEATS", False) is True

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        def prepare(whole: Delivery, secrets: SecretValues) -> OutgoingRequest:
            with self._bound():
                request = self._kind.request(whole, self._settings, secrets, attempt)
            verify_size(request)
            return request

        return await attempt_in_time(
            self._secrets, self._blobs, self._deadlines, delivery, attempt, prepare, self._sent
        )

    async def _sent(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> Outcome:
        """Return the outcome. Raises Permanent, and Temporary, also for a secret that no request can carry."""
        response = await self.exchange(request, deadline, secrets)
        if not isinstance(response, Response):
            return response
        if (check := self._check_after(response, request)) is None:
            return with_answer(self._outcome(response), response)
        found = await self.exchange(check, deadline, secrets)
        if isinstance(found, Unknown):  # it is known what the first request did, and the second changes nothing
            return RetryLater(f"what is there already could not be read: {found.reason}", UNREACHABLE_SECONDS)
        return found if not isinstance(found, Response) else with_answer(self._outcome_of_check(found, request), found)

    async def exchange(
        self, request: OutgoingRequest, deadline: float, secrets: SecretValues
    ) -> Response | RetryLater | Unknown:
        """Return the response; the outcome where none came. Raises as `_sent` does."""
        try:
            return await self._sender.send(
                request, deadline, secrets, may_repeat=self.dedupes_repeats, max_bytes=self._max_response_bytes
            )
        except Unanswered as error:
            return Unknown(error.detail)
        except Temporary as error:
            return outcome_of_network_fault(error)

    def _check_after(self, response: Response, request: OutgoingRequest) -> OutgoingRequest | None:
        check_after = getattr(self._kind, "check_after", None)
        return check_after(response, request) if check_after else None

    def _outcome_of_check(self, found: Response, request: OutgoingRequest) -> Outcome:
        outcome: Outcome = self._kind.outcome_of_check(found, request)  # type: ignore[attr-defined] # see http_kind.py
        return outcome

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
        if self._doubt_of is not None and isinstance(outcome, Delivered) and (doubt := self._doubt_of(response)):
            self._warn_once(response)
            return Delivered(doubt)
        if response.status == 429 and isinstance(outcome, RetryLater):
            return replace(outcome, after_seconds=max(outcome.after_seconds or 0.0, UNREACHABLE_SECONDS))
        return outcome

    def _warn_once(self, response: Response) -> None:
        """Log the doubt at the first such response in this process. Each attempt's record has it in full."""
        if not self._has_warned:
            self._has_warned = True
            advice = "the receiver answers with an HTML page, often a login page: check the URL or set `success_when`"
            log(
                "WARNING",
                "delivered, perhaps to a login page",
                function="notify",
                destination=self._name,
                status=response.status,
                reason=advice,
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
