"""The checker of duplicates and losses can fail: each fault that it is there for is one that it sees."""

from tests.checker import Arrival, Disturbance, Grace, Post, Verdict, check

GRACE = Grace(before_seconds=0.1, after_seconds=0.5)
ACCEPTED = [Post("a", None), Post("a", 503), Post("a", 200)]
KILL = Disturbance("kill", 10.0, 10.0)


def copy(at: float, id: str = "a", worker: str = "") -> Arrival:
    return Arrival(id, at, at + 0.05, worker)


def checked(*arrivals: Arrival, disturbances: list[Disturbance] | None = None) -> Verdict:
    return check(ACCEPTED, arrivals, disturbances or [], GRACE)


def test_an_accepted_event_that_arrives_once_is_good() -> None:
    verdict = checked(copy(1.0))
    assert verdict.is_good
    assert (verdict.posted, verdict.accepted, verdict.arrivals) == (1, 1, 1)


def test_an_accepted_event_that_never_arrives_is_lost_unless_it_was_given_up_on() -> None:
    assert checked().lost == ("a",)
    assert not checked().is_good
    assert check(ACCEPTED, [], given_up=["a"]).is_good


def test_an_event_that_was_not_confirmed_may_arrive_or_not() -> None:
    unconfirmed = [Post("a", 503), Post("b", None)]
    assert check(unconfirmed, []).is_good
    assert check(unconfirmed, [copy(1.0, "a"), copy(1.0, "b")]).is_good
    assert not check(unconfirmed, [copy(1.0, "b"), copy(2.0, "b")]).is_good


def test_what_was_never_posted_or_was_rejected_must_not_arrive() -> None:
    assert check([Post("a", 401)], [copy(1.0)]).forged == ("a",)
    assert check([], [copy(1.0)]).forged == ("a",)
    assert check([Post("a", 401), Post("a", 200)], [copy(1.0)]).is_good


def test_a_second_copy_is_not_explained_where_nothing_was_disturbed() -> None:
    verdict = checked(copy(1.0), copy(2.0), copy(3.0))
    assert verdict.unexplained == {"a": 2}
    assert not verdict.is_good
    assert "a" in str(verdict)


def test_a_kill_explains_a_second_copy_only_from_the_first_ones_way_until_just_after_its_answer() -> None:
    for first, is_good in ((9.0, False), (9.44, False), (9.46, True), (9.98, True), (10.09, True), (10.11, False)):
        verdict = checked(copy(first), copy(40.0), disturbances=[KILL])
        assert verdict.is_good is is_good, first
        assert verdict.explained == is_good


def test_a_kill_explains_at_most_one_copy_for_each_that_was_on_its_way() -> None:
    verdict = checked(copy(10.0), copy(40.0), copy(41.0), disturbances=[KILL])
    assert (verdict.explained, verdict.unexplained) == (1, {"a": 1})


def test_a_kill_that_strikes_the_second_copy_does_not_explain_it() -> None:
    assert not checked(copy(1.0), copy(10.0), disturbances=[KILL]).is_good


def test_a_copy_that_was_held_up_on_its_way_may_come_after_the_one_sent_in_its_place() -> None:
    pause = Disturbance("pause", 5.0, 10.0, delays=True)
    assert checked(copy(1.0), copy(10.0), disturbances=[pause]).explained == 1
    assert checked(copy(1.0), copy(2.0), copy(10.0), disturbances=[pause]).unexplained == {"a": 1}


def test_a_disturbance_of_one_worker_does_not_explain_the_copies_of_another() -> None:
    kill = Disturbance("kill", 10.0, 10.0, worker="two")
    assert checked(copy(10.0, worker="two"), copy(40.0, worker="one"), disturbances=[kill]).is_good
    assert not checked(copy(10.0, worker="one"), copy(40.0, worker="two"), disturbances=[kill]).is_good
