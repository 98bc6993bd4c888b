"""Requests of destinations without the values of secrets: what an attempt would send, for people and for tests.

A request is made with invented secrets, which are replaced by their names. A second one with other secrets shows which
headers depend on a secret without containing it, such as a signature.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Final
from urllib.parse import parse_qsl, quote

from functions.notify.destination import Attempt, read_settings
from functions.notify.http_kind import OutgoingRequest
from functions.notify.recipients.people import Person
from shared import errors, times
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from shared.secrets import secret_names

MADE: Final = "(made with a secret)"
"""Stands for a value that would differ with another secret, such as a signature."""
FORM: Final = "application/x-www-form-urlencoded"
_SECRET_FORMS: Final = ("whsec_{}", "https://secret.example/{}", "https://secret.example/a:webhook?key={}", "12345:{}")
"""The forms that kinds may require: a key of Standard Webhooks, which is a password as well; a URL; the URL of a
webhook trigger of Cloud Build; a bot's token."""


def masked_request(
    kind: ModuleType, delivery: Delivery, written: JsonObject, person: Person | None = None
) -> OutgoingRequest:
    """Return the first attempt's request, in which `<secret NAME>` or MADE stands for what depends on a secret.

    `written` is the kind's settings, as the slice has them. Raises Permanent, as an attempt would, and Temporary.
    """
    settings = read_settings(kind, written)
    at = times.unix_seconds(delivery.event.receivedat)
    attempt = Attempt(delivery.id, attempt_number=1, generation=0, now=at, timeout_seconds=15.0, person=person)

    def made(form: str, salt: str) -> OutgoingRequest:
        secrets = {name: _invented_secret(form, name, salt) for name in secret_names(written)}
        values = {name: (text,) for name, text in secrets.items()}
        request: OutgoingRequest = kind.request(delivery, settings, values, attempt)
        return _masked(request, secrets)

    form, first = _first_made(made)
    others = made(form, "b").headers
    pairs = zip(first.headers, others, strict=True)
    headers = tuple((name, value if value == other else MADE) for (name, value), (_, other) in pairs)
    return replace(first, headers=headers)


def _first_made(made: Callable[[str, str], OutgoingRequest]) -> tuple[str, OutgoingRequest]:
    """Return the first form of a secret that the kind accepts, and the request that it makes with it."""
    *other_forms, last_form = _SECRET_FORMS
    for form in other_forms:
        with contextlib.suppress(errors.Temporary):  # the kind accepts no such secret
            return form, made(form, "a")
    return last_form, made(last_form, "a")


def _invented_secret(form: str, name: str, salt: str) -> str:
    return form.format(hashlib.sha256(f"{salt}:{name}".encode()).hexdigest())


def _masked(request: OutgoingRequest, secrets: Mapping[str, str]) -> OutgoingRequest:
    """Return the request with the name of each secret in place of its value."""

    def mask(text: str) -> str:
        for name, value in secrets.items():
            for spelling in (value, quote(value, safe="")):
                text = text.replace(spelling, f"<secret {name}>")
        return text

    headers = tuple((name, mask(value)) for name, value in request.headers)
    body = mask(request.body.decode("utf-8", "replace")).encode()
    return replace(request, url=mask(request.url), headers=headers, body=body)


def request_lines(request: OutgoingRequest) -> Iterator[str]:
    """Yield the request as lines; JSON is indented."""
    yield f"{request.method} {request.url}"
    yield from (f"{name}: {value}" for name, value in request.headers)
    yield from (f"authentication: {scheme.scheme}" for scheme in request.auth)
    yield ""
    text = request.body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    yield from text.splitlines()


def body_value(request: OutgoingRequest, expected: Json) -> Json:
    """Return the body as the expectation has it: text, the fields of a form, or the JSON value."""
    text = request.body.decode("utf-8", "replace")
    if isinstance(expected, str):
        return text
    if ("content-type", FORM) in request.headers:
        return dict(parse_qsl(text, keep_blank_values=True))
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value
