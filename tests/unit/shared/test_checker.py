"""The checker of duplicates and losses can fail: each fault that it is there for is one that it sees."""

from tests.kill.checker import Arrival, Disturbance, Grace, Post, Verdict, check

GRACE = Grace(before_seconds=0.1, after_seconds=0.5)
ACCEPTED = [Post("a", None), Post("a", 503), Post("a", 200)]
KILL = Disturbance("kill", 10.0, 10.0)


def copy(at: float, id: str = "a", worker: str = "") -> Arrival:
    return Arrival(id, at, at + 0.05, worker)


def checked(*arrivals: Arrival, disturbances: list[Disturbance] | None = None) -> Verdict:
    return check(ACCEPTED, arrivals, disturbances or [], GRACE)


def test_what_was_accepted_arrives_once_and_what_was_rejected_never() -> None:
    assert checked(copy(1.0)).is_good
    assert checked().lost == ("a",)
    assert checked(copy(1.0), copy(2.0), copy(3.0)).unexplained == {"a": 2}
    assert check([Post("a", 401)], [copy(1.0)]).forged == ("a",)
    assert check([Post("a", 503), Post("b", None)], [copy(1.0)]).is_good, "what was not confirmed may arrive or not"


def test_a_kill_explains_a_second_copy_only_from_the_first_ones_way_until_just_after_its_answer() -> None:
    for first, is_good in ((9.0, False), (9.44, False), (9.46, True), (10.09, True), (10.11, False)):
        assert checked(copy(first), copy(40.0), disturbances=[KILL]).is_good is is_good, first


def test_a_kill_explains_at_most_one_copy_for_each_that_was_on_its_way() -> None:
    verdict = checked(copy(10.0), copy(40.0), copy(41.0), disturbances=[KILL])
    assert (verdict.explained, verdict.unexplained) == (1, {"a": 1})


def test_a_disturbance_of_one_worker_does_not_explain_the_copies_of_another() -> None:
    kill = Disturbance("kill", 10.0, 10.0, worker="two")
    assert checked(copy(10.0, worker="two"), copy(40.0, worker="one"), disturbances=[kill]).is_good
    assert not checked(copy(10.0, worker="one"), copy(40.0, worker="two"), disturbances=[kill]).is_good
