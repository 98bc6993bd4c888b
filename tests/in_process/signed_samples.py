"""Samples of providers, signed as `hookchain trigger` signs them, and a receiver in this process for them."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.config.configured import configured
from deploy.requests.samples import Fresh
from deploy.requests.sender_keys import generate_value
from deploy.requests.signed_samples import Break, Keys, chosen_sample, signed_sample
from deploy.requests.trigger_target import TriggerTarget, trigger_target
from functions.receive.receive import Accepted, Answered, DeadLettered, Receiver
from shared.http import Request
from shared.secrets import variable_name
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

NOW = 1_790_000_000.0
FRESH = Fresh(NOW, "abcdefabcdef", "9876543210")
RANDOM = bytes(range(32))
SECRET = "a-secret-of-some-length-0123456789"


@dataclass(frozen=True)
class Range:
    """A provider's source, as `hookchain providers` tells to write it, and its secrets."""

    aim: TriggerTarget
    keys: Keys
    fresh: Fresh

    def shot(self, event: str | None, what: Break | None = None, variant: str | None = None) -> Request:
        return signed_sample(
            self.aim, chosen_sample(self.aim, event, self.keys, self.fresh), self.keys, self.fresh, what, variant
        )

    def received(self, request: Request) -> Accepted | Answered:
        """Raises HookchainError."""
        source = self.aim.source
        receiver = Receiver(
            {source.name: source},
            FakeSecrets(_by_name(self.keys.environ, self.aim)),
            FakeBus(),
            FakeBlobs(),
            FakeClock(self.fresh.now),
            random_id=lambda: "0" * 32,
        )

        outcome = asyncio.run(receiver.receive(replace(request, body=b""), reading(request.body)))
        assert not isinstance(outcome, DeadLettered)
        return outcome


def _by_name(environ: Mapping[str, str], aim: TriggerTarget) -> dict[str, str]:
    return {name: environ[variable_name(name)] for name in _names(aim) if variable_name(name) in environ}


def _names(aim: TriggerTarget) -> list[str]:
    text = json.dumps(aim.settings)
    return [
        name
        for name in {f"{aim.source.name}-secret"} | {auth.secret for auth in aim.source.auth}
        if name and name in text
    ]


def on_range(provider: str, state: Path, fresh: Fresh = FRESH, secret: str = SECRET) -> Range:
    """A provider's range at the time of `fresh`. `secret` is every secret that may be any text."""
    options = argparse.Namespace(
        to=None, source=None, config=None, env_file=state / "no.env", state=state, provider=provider
    )
    (state / "hookchain.yaml").write_text("sources:\n  other: {auth: none}\n")
    options.config = str(state / "hookchain.yaml")
    aim = trigger_target(provider, configured(options), None, None, 8080)
    names = _names(aim)
    made = dict.fromkeys(names, secret)
    for name in names:
        schemes = [auth for auth in aim.source.auth if auth.secret == name]
        made[name] = generate_value(name, schemes, state, RANDOM) or secret
    return Range(aim, Keys({variable_name(name): value for name, value in made.items()}, state), fresh)
