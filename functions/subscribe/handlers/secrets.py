"""The secrets of an endpoint."""

from typing import Final

from functions.subscribe.credentials import OVERLAP_SECONDS
from functions.subscribe.endpoint_secrets import make_secret, open_secret, seal_secret
from functions.subscribe.handlers.endpoints import change_stored, endpoint_of
from functions.subscribe.models.base import NoQuery
from functions.subscribe.models.endpoints import PreviousSecret, SecretRotation, SecretView
from functions.subscribe.operational import tell_operator
from functions.subscribe.problems import ApiProblem, invalid
from functions.subscribe.route import Call
from shared.errors import Temporary
from shared.subscribers.model import Endpoint, EndpointSecret
from shared.subscribers.payload import verify_secret
from shared.times import rfc3339

MAX_SECRETS: Final = 5
"""That are valid at the same time."""


async def reveal_secret(call: Call, given: NoQuery) -> SecretView:
    """Show the secret of an endpoint."""
    return await _view(call, await endpoint_of(call))


async def rotate_secret(call: Call, given: SecretRotation) -> SecretView:
    """Replace the secret; the one before is used beside it for 24 hours."""
    endpoint, now = await endpoint_of(call), call.now
    if given.secret is not None:
        try:
            verify_secret(endpoint.auth, given.secret)
        except ValueError as error:
            raise invalid("/secret", str(error)) from error
    text = given.secret or make_secret(call.service, endpoint.auth.kind, await _before(call, endpoint))
    new = await seal_secret(call.service, call.tenant, endpoint.id, text, now)

    def decide(before: Endpoint) -> Endpoint:
        if before.auth.kind != endpoint.auth.kind:
            raise ApiProblem("version_mismatch", "the authentication was changed meanwhile; rotate the secret again")
        return before.model_copy(update={"secrets": (new, *_previous(before, now)), "updated_at": now})

    _, after = await change_stored(call, decide)
    await tell_operator(call, "updated", after)
    return await _view(call, after)


def _previous(endpoint: Endpoint, now: float) -> tuple[EndpointSecret, ...]:
    """Return the secrets that stay in use. Only Standard Webhooks has a place for more than one signature.

    Raises ApiProblem (`limit_reached`).
    """
    if endpoint.auth.kind != "standard":
        return ()
    until = now + OVERLAP_SECONDS
    valid = [each for each in endpoint.secrets if each.is_valid(now)]
    if len(valid) >= MAX_SECRETS:
        raise ApiProblem(
            "limit_reached", f"at most {MAX_SECRETS} secrets are valid at a time; wait until one has ended"
        )
    return tuple(each if each.valid_until else each.model_copy(update={"valid_until": until}) for each in valid)


async def _before(call: Call, endpoint: Endpoint) -> str:
    """Return the secret that is replaced; empty where the key to it is lost, which a rotation repairs."""
    try:
        return await _newest(call, endpoint)
    except Temporary as error:
        if error.code != "secret_unusable":
            raise
        return ""


async def _newest(call: Call, endpoint: Endpoint) -> str:
    return await open_secret(call.service, call.tenant, endpoint.id, endpoint.secrets[0])


async def _view(call: Call, endpoint: Endpoint) -> SecretView:
    newest, now = endpoint.secrets[0], call.now
    ends = [
        each.valid_until for each in endpoint.secrets[1:] if each.valid_until is not None and now < each.valid_until
    ]
    return SecretView(
        secret=await _newest(call, endpoint),
        previous=[PreviousSecret(valid_until=rfc3339(end)) for end in ends],
        created_at=rfc3339(newest.created_at),
    )
