"""The retries of the clouds' APIs, in a loop whose time is not real."""

import asyncio

import pytest

from shared.cloud.retries import BRIEF, PATIENT, RetryPolicy, with_retries
from tests.fakes.virtual_time import run


@pytest.mark.parametrize("policy", [BRIEF, PATIENT])
@pytest.mark.parametrize(("answers", "calls"), [((0,), 1), ((1, 1, 0), 3), ((1,) * 9, None)])
def test_a_passing_answer_is_asked_for_again_as_often_as_the_policy_says(
    policy: RetryPolicy, answers: tuple[int, ...], calls: int | None
) -> None:
    left = [*answers]

    async def call() -> int:
        return left.pop(0)

    expected = calls or 1 + len(policy.waits_seconds)
    assert run(with_retries(call, bool, policy)) == answers[expected - 1]
    assert len(answers) - len(left) == expected


def test_no_call_begins_after_the_time_of_the_policy() -> None:
    """A lease must not end while a slow answer is asked for again."""
    calls = 0

    async def call() -> bool:
        nonlocal calls
        calls += 1
        await asyncio.sleep(PATIENT.until_seconds)
        return True

    assert run(with_retries(call, bool, PATIENT))
    assert calls == 1
