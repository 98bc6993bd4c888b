"""Named chains and routes, from the configuration to what they decide."""

from pathlib import Path

import pytest

from shared.event import Event
from shared.waiting_route import RETRY_SECONDS
from tests.fakes.configurations import compile_text, faults_of_text
from tests.unit.config.own_configuration import CONFIG, EVENT, STEP, data_of, decided


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_steps").mkdir()
    (tmp_path / "my_steps" / "loyalty.py").write_text(STEP, encoding="utf-8")
    return tmp_path


async def test_a_route_that_drops_what_fails_says_so_and_leaves_no_dead_letter(folder: Path) -> None:
    decision = await decided(folder, Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": "hunter2"}))

    assert (decision.owed, decision.failed) == ((), ())
    assert decision.routes[1].matched
    assert decision.routes[1].code is None
    assert "dropped, as `on_error` says" in decision.routes[1].reason
    assert "hunter2" not in decision.routes[1].reason


async def test_a_route_that_goes_on_delivers_the_event_from_before_the_step(folder: Path) -> None:
    text = CONFIG.replace("on_error: drop", "on_error: continue")
    event = Event("e2", "/sources/web", "x", EVENT.receivedat, "00", {"total": "hunter2"})
    decision = await decided(folder, event, text)

    assert data_of(decision) == [{"total": "hunter2"}]
    assert (
        "went on from chain 'points' step 1 'loyalty': TypeError at my_steps/loyalty.py:22" in decision.routes[1].reason
    )


def test_an_own_step_may_mean_another_thing_by_retry(folder: Path) -> None:
    asking = (
        STEP.replace("Example, Step, StepContext", "AskingStep, Example, Services, StepContext")
        .replace("(BaseModel, Step)", "(BaseModel, AskingStep)")
        .replace("def apply(self, event: Event, _: StepContext)", "async def ask(self, event, _, services: Services)")
        .replace("per_point: int", "per_point: int\n    retry: bool = True")
    )
    (folder / "my_steps" / "loyalty.py").write_text(asking, encoding="utf-8")
    notify = compile_text(CONFIG, folder)["notify"]
    assert notify["waiting_routes"] == {"longest_seconds": sum(RETRY_SECONDS)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("steps: points", "steps: pionts"), "there is no chain 'pionts'; did you mean 'points'?"),
        (
            ("vip: [{set: {data.vip: true}}]", "vip: [{chain: two}]\n  two: [{switch: {to: vip}}]"),
            "chain 'vip': step 1 'chain': a chain cannot lead to itself: vip → two → vip",
        ),
        (("vip: [", "vip: [{dorp: [data.x]}, "), "chain 'vip': step 1 'dorp': there is no such step; did you mean"),
        (("vip: [", "vip: [{email: {}}, "), "chain 'vip': step 1 'email': is a kind of destination: write it under"),
        (("on_error: drop", "on_error: dead_leter"), "; did you mean 'dead_letter'?"),
        (("per_point: 10", "per_piont: 10"), "there is no such setting; did you mean 'per_point'?"),
    ],
)
def test_a_fault_in_chains_and_routes_names_its_place(folder: Path, change: tuple[str, str], message: str) -> None:
    assert message in faults_of_text(CONFIG.replace(*change), folder)
