"""Destinations that speak HTTP, a stand-in of all their receivers, and the way out that leads to it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from shared.fetch import Fetched, Outgoing
from shared.outgoing.guarded_fetch import GuardedFetch
from tests.stand_ins.http_server import Said, Seen, http_stand_in

DESTINATIONS: Final = """
  signed:
    webhook:
      url: https://crm.example.com/in/{{ type }}?id={{ id }}
      secret: crm-signing
      headers: {x-actor: "{{ actor | default('nobody') }}"}
  in-a-layout:
    webhook:
      url: https://stock.example.com/items
      method: PUT
      format: xml
      signature:
        header: X-Signature
        layout: pairs
        take: v1
        timestamp: signature.t
        content: "{timestamp}.{body}"
        secret: stock-signing
  aws:
    webhook:
      url: https://queue.eu-central-1.amazonaws.com/in?b=2&a=1
      format: cloudevents
      auth: {scheme: aws, service: sqs, region: eu-central-1, access_key_id: AKIDEXAMPLE, secret: aws-key}
  team: {slack: {secret: slack-webhook}}
  on-call: {pagerduty: {secret: pagerduty-key}}
  busy:
    webhook: {url: https://busy.example.com/in, format: form, auth: {scheme: bearer, secret: busy-token}}
    breaker: {failures: 3, pause: 2m}
  slow: {webhook: {url: https://slow.example.com/in, format: cloudevents-binary}, rate: 20/h}
"""
"""No wait is shorter than a minute: the buses differ in who ends such a wait."""
NAMES: Final = ("signed", "in-a-layout", "aws", "team", "on-call", "busy", "slow")
SECRETS: Final[Mapping[str, str]] = {
    "crm-signing": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "stock-signing": "a key of some length 0123",
    "aws-key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "slack-webhook": "https://hooks.slack.com/services/T1/B1/example-of-a-webhook",
    "pagerduty-key": "0123456789abcdef0123456789abcdef",
    "busy-token": "a token of some length 0123",
}
PAGERDUTY_TAKEN: Final = 202
TOO_MANY: Final = 429


class Received(NamedTuple):
    """A request as it came over the connection. Header lines are in their order."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass
class Receivers:
    """All receivers at one address."""

    url: str = ""
    received: list[Received] = field(default_factory=list)

    def new(self) -> list[Received]:
        """Return what was received since the call before."""
        found, self.received = self.received, []
        return found


@contextmanager
def receivers() -> Iterator[Receivers]:
    made = Receivers()

    def answer(seen: Seen) -> Said:
        made.received.append(Received(seen.line, tuple(seen.headers.items()), seen.body))
        return Said(TOO_MANY if seen.path.startswith("/busy.") else PAGERDUTY_TAKEN, b"ok", {"retry-after": "90"})

    with http_stand_in(answer) as made.url:
        yield made


@dataclass
class FetchFromReceivers:
    """The guarded way out, which leads to the stand-in; the host that was meant precedes the path."""

    url: str
    asked: list[Outgoing] = field(default_factory=list)

    async def fetch(self, request: Outgoing) -> Fetched:
        parts = urlsplit(request.url)
        assert parts.scheme == "https"
        assert not request.allow_private
        self.asked.append(request._replace(timeout_seconds=0.0))
        url = f"{self.url}/{parts.netloc}{request.url.removeprefix(f'https://{parts.netloc}')}"
        return await GuardedFetch(keeps=False).fetch(request._replace(url=url, allow_private=True))
