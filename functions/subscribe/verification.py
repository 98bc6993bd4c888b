"""The proof that an endpoint wants events, before it gets any.

challenge    a POST of `{"type": "endpoint.verification", "challenge": …}`, signed as any delivery. The answer must be a
             2xx with the challenge, as its text or as the JSON field `challenge`. An answer that repeats the whole
             request is rejected, because some servers repeat every request
cloudevents  the handshake of CloudEvents' webhooks: an OPTIONS request with `WebHook-Request-Origin`. The answer must
             be a 2xx with this origin, or `*`, in `WebHook-Allowed-Origin`
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md
"""

import hmac
from typing import Final
from urllib.parse import urlsplit

from functions.subscribe.endpoint import open_secret
from functions.subscribe.problems import ApiProblem
from functions.subscribe.service import Service
from shared import errors, fetch, jsontext, times
from shared.event import Event
from shared.subscribers import model, names, payload

TIMEOUT_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 4_096
"""How much of an answer is read. A challenge has 48 characters."""
TYPE: Final = "endpoint.verification"
DEFAULT_ORIGIN: Final = "hookchain"
"""The origin of a deployment whose `public_url` is not configured."""
_CHALLENGE_BYTES: Final = 24


async def verify_ownership(service: Service, endpoint: model.Endpoint) -> None:
    """Ask the endpoint for the proof that the settings require.

    Raises ApiProblem (`verification_failed`). Its detail says what was expected, and quotes nothing of the answer: the
    caller chooses the URL, and must not be able to read other servers through us.
    """
    kind = service.settings.verify
    if kind == "cloudevents":
        await _do_handshake(service, endpoint)
    elif kind == "challenge":
        await _challenge(service, endpoint)


async def _challenge(service: Service, endpoint: model.Endpoint) -> None:
    """Send a challenge. Raises ApiProblem (`verification_failed`) unless the answer has it, and Temporary."""
    now = service.clock.now()
    challenge = service.random_bytes(_CHALLENGE_BYTES).hex()
    id_ = service.random_bytes(16).hex()
    data = {"type": TYPE, "challenge": challenge}
    event = Event(id_, names.SUBSCRIBERS_SOURCE, TYPE, times.rfc3339(now), id_, {**data})
    valid_secrets = payload.valid_secrets(endpoint, now)
    secrets = [await open_secret(service, endpoint.tenant, endpoint.id, secret) for secret in valid_secrets]
    request = payload.endpoint_request(endpoint, secrets, event, "data", id_, int(now))
    answer = await _fetch(service, "POST", request.url, request.headers, request.body)
    if not _has_challenge(answer.body, challenge):
        rule = 'the answer must have the challenge, as its text or as the JSON field "challenge", and no "type"'
        raise ApiProblem("verification_failed", rule)


def _has_challenge(body: bytes, challenge: str) -> bool:
    """Return whether the body is the challenge, as text or in JSON, and not the whole request."""
    answered: object = body.strip().decode("utf-8", "replace").strip('"')
    try:
        document = jsontext.from_json(body)
        if isinstance(document, dict):
            is_request = "type" in document  # repeated as it was
            answered = None if is_request else document.get("challenge")
    except (ValueError, RecursionError):
        pass  # plain text
    return isinstance(answered, str) and hmac.compare_digest(answered.encode("utf-8", "replace"), challenge.encode())


async def _do_handshake(service: Service, endpoint: model.Endpoint) -> None:
    """Ask whether this deployment may send. Raises ApiProblem (`verification_failed`) unless the answer allows it."""
    origin = urlsplit(service.settings.public_url).hostname or DEFAULT_ORIGIN
    headers = (*endpoint.headers.items(), ("webhook-request-origin", origin))
    answer = await _fetch(service, "OPTIONS", endpoint.url, headers, b"")
    allowed_header = answer.header("webhook-allowed-origin") or ""
    allowed = {allowed_origin.strip().lower() for allowed_origin in allowed_header.split(",")}
    if not allowed & {origin.lower(), "*"}:
        rule = f"the answer must have the header WebHook-Allowed-Origin with {origin} or *"
        raise ApiProblem("verification_failed", rule)


async def _fetch(
    service: Service, method: str, url: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> fetch.Fetched:
    """Return the answer, which is a 2xx. Raises ApiProblem (`verification_failed`)."""
    outgoing = fetch.Outgoing(
        method=method,
        url=url,
        headers=headers,
        body=body,
        timeout_seconds=TIMEOUT_SECONDS,
        max_bytes=MAX_ANSWER_BYTES,
        allow_private=service.settings.allow_private,
        allow_http=service.settings.allow_http,
    )
    try:
        answer = await service.fetch().fetch(outgoing)
    except errors.Unanswered as error:
        raise ApiProblem("verification_failed", f"the endpoint did not answer: {error.detail}") from error
    except (errors.Permanent, errors.Temporary) as error:
        raise ApiProblem("verification_failed", f"the endpoint was not asked: {error.detail}") from error
    if not 200 <= answer.status < 300:
        raise ApiProblem("verification_failed", f"the endpoint must answer with a 2xx; it answered {answer.status}")
    return answer
