"""A webhook whose receiver is away for four days on a faked clock, and then back."""

from collections import Counter
from pathlib import Path

import pytest

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.notify.registry import Destinations, read_destinations
from shared.delivery import DELIVERY_TYPE
from shared.errors import Temporary, Unanswered
from shared.ledger_rules import DELIVERED
from shared.ports import DELIVERIES, Fetched, Outgoing
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import a_context
from tests.fakes.notifier import FakeNotifier, a_delivery

CONFIG = """\
sources: {web: {auth: none}}
routes: [{name: tell the list, from: web, to: crm}]
destinations: {crm: {webhook: {url: https://crm.example.com/in}}}
"""
COUNT = 40
DAY_SECONDS = 86_400.0


class AwayReceiver:
    """Refuses connections, or takes requests and never answers, until `back_at`; then accepts each id."""

    def __init__(self, clock: FakeClock, back_at: float, fault: Temporary) -> None:
        self.clock, self.back_at, self.fault = clock, back_at, fault
        self.accepted: Counter[str] = Counter()
        self.requests = 0
        self.last_at = 0.0

    async def fetch(self, request: Outgoing) -> Fetched:
        self.requests += 1
        if self.clock.now() < self.back_at:
            raise self.fault
        self.accepted[dict(request.headers)["webhook-id"]] += 1
        self.last_at = self.clock.now()
        return Fetched(200, (), b"")


@pytest.mark.parametrize(
    "fault",
    [
        Temporary("host_unreachable", "crm.example.com refused the connection"),
        Unanswered("host_unreachable", "crm.example.com did not answer within 15 s"),
    ],
    ids=["refuses", "never answers"],
)
async def test_everything_arrives_once_when_the_receiver_is_back_after_four_days(fault: Temporary) -> None:
    clock = FakeClock()
    receiver = AwayReceiver(clock, clock.now() + 4 * DAY_SECONDS, fault)
    slice_ = compile_config(parse_config(CONFIG, "hookchain.yaml", Path()))["notify"]
    context = a_context()
    context = type(context)(context.secrets, context.settings, context.blobs, clock, fetch=lambda: receiver)
    notifier = FakeNotifier(destinations=Destinations(read_destinations(slice_), context), clock=clock)
    for number in range(COUNT):
        await notifier.take(a_delivery(number))
        clock.advance(1)
    while len(receiver.accepted) < COUNT:
        assert clock.now() < receiver.back_at + 1.25 * DAY_SECONDS
        clock.advance(180)
        await notifier.sweep_and_take()

    assert set(receiver.accepted.values()) == {1}
    assert notifier.dead_letters == []
    assert {row.state for row in await notifier.ledger.rows(COUNT)} == {DELIVERED}
    assert {message.attributes["ce-type"] for message in notifier.bus.on(DELIVERIES)} == {DELIVERY_TYPE}
    in_vain = receiver.requests - COUNT
    assert in_vain < 4 * 24 + 30, "the breaker lets about one delivery an hour try"
