"""The secrets of an endpoint: showing the one in use, and replacing it."""

from typing import Final

from functions.subscribe import credentials
from functions.subscribe.endpoint import make_secret, open_secret, seal_secret
from functions.subscribe.handlers.endpoints import change_stored, endpoint_of, tell_operator
from functions.subscribe.models import endpoints as models, values
from functions.subscribe.problems import ApiProblem, invalid
from functions.subscribe.route import Call
from shared import errors, times
from shared.subscribers import payload
from shared.subscribers.model import Endpoint, EndpointSecret

MAX_SECRETS: Final = 5
"""The most secrets of an endpoint that are valid at the same time."""


async def reveal_secret(call: Call, _: values.NoQuery) -> models.SecretView:
    """Show the secret of an endpoint."""
    return await _secret_view(call, await endpoint_of(call))


async def rotate_secret(call: Call, body: models.SecretRotation) -> models.SecretView:
    """Replace the secret; the one before is used beside it for 24 hours."""
    endpoint = await endpoint_of(call)
    now = call.now
    if body.secret is not None:
        try:
            payload.verify_secret(endpoint.auth, body.secret)
        except ValueError as error:
            raise invalid("/secret", str(error)) from error
    text = body.secret or make_secret(call.service, endpoint.auth.kind, await _replaced_secret(call, endpoint))
    new = await seal_secret(call.service, call.tenant, endpoint.id, text, now)

    def decide(before: Endpoint) -> Endpoint:
        if before.auth.kind != endpoint.auth.kind:
            raise ApiProblem("version_mismatch", "the authentication was changed meanwhile; rotate the secret again")
        return before.model_copy(update={"secrets": (new, *_previous(before, now)), "updated_at": now})

    _, after = await change_stored(call, decide)
    await tell_operator(call, "updated", after)
    return await _secret_view(call, after)


def _previous(endpoint: Endpoint, now: float) -> tuple[EndpointSecret, ...]:
    """Return the secrets that stay in use. Only Standard Webhooks has a place for more than one signature.

    Raises ApiProblem (`limit_reached`).
    """
    if endpoint.auth.kind != "standard":
        return ()
    until = now + credentials.OVERLAP_SECONDS
    valid = [each for each in endpoint.secrets if each.is_valid(now)]
    if len(valid) >= MAX_SECRETS:
        raise ApiProblem(
            "limit_reached", f"at most {MAX_SECRETS} secrets are valid at a time; wait until one has ended"
        )
    return tuple(each if each.valid_until else each.model_copy(update={"valid_until": until}) for each in valid)


async def _replaced_secret(call: Call, endpoint: Endpoint) -> str:
    """Return the secret that is replaced; empty if it cannot be opened any more, which the rotation repairs."""
    try:
        return await _newest(call, endpoint)
    except errors.Temporary as error:
        if error.code != "secret_unusable":
            raise
        return ""


async def _newest(call: Call, endpoint: Endpoint) -> str:
    return await open_secret(call.service, call.tenant, endpoint.id, endpoint.secrets[0])


async def _secret_view(call: Call, endpoint: Endpoint) -> models.SecretView:
    newest, *previous = endpoint.secrets
    ends = [each.valid_until for each in previous if each.valid_until is not None and call.now < each.valid_until]
    return models.SecretView(
        secret=await _newest(call, endpoint),
        previous=[models.PreviousSecret(valid_until=times.rfc3339(end)) for end in ends],
        created_at=times.rfc3339(newest.created_at),
    )
