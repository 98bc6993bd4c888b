"""Whatever crashes on the way, each endpoint gets each event, and each tenant's message is kept."""

import pytest

from functions.notify.subscribers import fan_out
from tests.simulation.subscribers import simulate_subscribers


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_no_delivery_to_an_endpoint_is_lost(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "MAX_PAGE", 3)
    report = simulate_subscribers(seed, 40)
    assert report.is_good, report
    assert report.strikes > 50
