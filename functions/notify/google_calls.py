"""Calls of Google's APIs by destinations that need more than one call for a delivery."""

from dataclasses import replace
from typing import Final

from functions.notify import destination, http_engine
from functions.notify.http_kind import OutgoingRequest, Response, SecretValues, held, outcome_by_status
from shared import errors, limits
from shared.delivery import Outcome, RetryLater, Unknown
from shared.jsontext import JsonObject, objects_at
from shared.outgoing.auth import GoogleOAuthRequestAuth

MAX_BYTES: Final = 8 * limits.MIB
"""The size of a response. A larger one is cut, so its JSON cannot be read."""
MAX_PAUSE_SECONDS: Final = 3_600.0
"""The longest pause of the destination after its quota is used up, whatever Google asks for."""
_QUOTAS: Final = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})
_API_OFF: Final = frozenset({"SERVICE_DISABLED", "accessNotConfigured"})
_NO_STORAGE: Final = "storageQuotaExceeded"


class CallFailed(Exception):
    """A call that ends the attempt. `response` is None if none came."""

    def __init__(self, outcome: Outcome, response: Response | None = None) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome
        self.response = response


class GoogleCalls:
    """The calls of one API. Each has a deadline, a time of the event loop, and the values of the secrets to mask.

    auth     None for a server on this machine that speaks the same API
    service  the name of the API for people
    share    what gives the account its right: it ends the reasons of a 401, a 403 and a 404
    """

    def __init__(
        self, context: destination.Context, auth: GoogleOAuthRequestAuth | None, service: str, share: str
    ) -> None:
        self._sender = http_engine.HttpSender(context)
        self._auth = () if auth is None else (auth,)
        self._is_local = auth is None
        self._service = service
        self._share = share

    async def read(self, url: str, deadline: float, secrets: SecretValues) -> JsonObject:
        """Return the answer of a GET. Raises CallFailed and Temporary: nothing was changed."""
        return await self._call(OutgoingRequest("GET", url), deadline, secrets, is_read=True)

    async def write(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> JsonObject:
        """Return the answer of a request that changes something. Raises CallFailed, Temporary and Permanent."""
        http_engine.verify_size(request)
        return await self._call(request, deadline, secrets, is_read=False)

    async def _call(
        self, request: OutgoingRequest, deadline: float, secrets: SecretValues, *, is_read: bool
    ) -> JsonObject:
        """Return the answer. A request that changes nothing (`is_read`) may be repeated, so no outcome is Unknown."""
        authenticated = replace(request, auth=self._auth, allow_private=self._is_local)
        try:
            response = await self._sender.send(
                authenticated, deadline, secrets, may_repeat=is_read, max_bytes=MAX_BYTES
            )
        except errors.Unanswered as error:
            unanswered = RetryLater(error.detail, http_engine.UNREACHABLE_SECONDS) if is_read else Unknown(error.detail)
            raise CallFailed(unanswered) from error
        except errors.Temporary as error:
            raise CallFailed(http_engine.outcome_of_network_fault(error)) from error
        if not 200 <= response.status < 300:
            raise CallFailed(google_failure(response, self._service, self._share), response)
        answer = response.json()
        if not isinstance(answer, dict):
            reason = f"{self._service} answered {response.status} without the JSON that it promises"
            outcome = RetryLater if is_read else Unknown
            raise CallFailed(outcome(reason, answer=response.excerpt), response)
        return answer


def google_failure(response: Response, service: str, share: str) -> Outcome:
    """Return the outcome of a status that is no success.

    https://developers.google.com/workspace/drive/api/guides/handle-errors
    """
    status = response.status
    reasons = error_reasons(response)
    if status == 429 or (status == 403 and reasons & _QUOTAS):
        after = max(response.retry_after_seconds or 0.0, http_engine.UNREACHABLE_SECONDS)
        reason = f"{service} limits the rate of requests ({status})"
        return RetryLater(reason, after, response.excerpt, min(after, MAX_PAUSE_SECONDS))
    if status == 403 and _NO_STORAGE in reasons:
        return held(response, service, "the account has no storage of its own: name a folder of a shared drive")
    if status == 403 and reasons & _API_OFF:
        return held(response, service, f"enable the {service} API in the project of the service account")
    return outcome_by_status(response, service, failed={400, 413}, held_advice=share)


def error_reasons(response: Response) -> set[str]:
    """Return Google's names of the error, of which a response has one in each of two forms."""
    entries = [*objects_at(response.member("error", "errors")), *objects_at(response.member("error", "details"))]
    return {str(each.get("reason")) for each in entries}
