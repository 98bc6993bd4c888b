"""Sending as webhooks' senders do: what is not confirmed is sent again. On a busy machine the bus may take seconds."""

import time
from typing import Final

from deploy.client.hookchain.auth import Auth
from deploy.client.hookchain.outcome import Outcome
from deploy.client.hookchain.sending import send
from tests.running.processes import PATIENCE_SECONDS, Request, post

UNCONFIRMED: Final = frozenset({"unavailable", "timeout"})


def send_until_confirmed(
    url: str, data: object, *, secret: str | None = None, auth: Auth | None = None, format: str = "json"
) -> Outcome:
    """The event must have a delivery id, or may arrive twice."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (outcome := send(url, data, secret=secret, auth=auth, format=format)).ok:
        assert outcome.code in UNCONFIRMED, outcome.message
        assert time.monotonic() < give_up_at, outcome.message
    return outcome


def post_until_confirmed(port: int, request: Request) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while (status := post(port, request)) != 200:
        assert status == 503
        assert time.monotonic() < give_up_at
