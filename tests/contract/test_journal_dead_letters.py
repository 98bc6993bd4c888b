"""What every reader of a journal tells of dead letters, and how they are marked."""

from deploy.history.journal_view import DROPPED, REPLAYED
from shared.journal import KEPT, DeadLetter
from tests.contract.kept_journal import NOW, Kept


def test_a_dead_letter_speaks_for_its_event_until_it_is_replayed(kept: Kept) -> None:
    kept.deliver(kept.event("e1"), "delivered")
    kept.letter("d1")
    assert kept.status("e1") == "dead_lettered"
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 1
    assert kept.status("e1") == "delivered"


def test_dead_letters_are_listed_by_state_newest_first_in_pages(kept: Kept) -> None:
    for number in range(4):
        kept.letter(f"d{number}", at=NOW + number)
    assert kept.view.mark_dead_letters(["d1", "unknown"], DROPPED) == 1
    assert [letter.id for letter in kept.view.dead_letters(10)] == ["d3", "d2", "d0"]
    assert [letter.id for letter in kept.view.dead_letters(10, state=DROPPED)] == ["d1"]
    everything = kept.view.dead_letters(2, state=None)
    assert [letter.id for letter in everything] == ["d3", "d2"]
    assert [letter.id for letter in kept.view.dead_letters(9, state=None, before=everything[-1].seq)] == ["d1", "d0"]
    assert kept.view.totals().dead_letters == 3


def test_a_dead_letter_is_reported_whole_and_marked_once(kept: Kept) -> None:
    kept.letter("d1")
    letter = kept.view.dead_letter("d1")
    assert letter
    assert (letter.message, letter.code, letter.reason, letter.at) == (
        b'{"a":1}',
        "request_rejected",
        "no such user",
        NOW,
    )
    assert (letter.topic, letter.event_id, letter.route, letter.destination) == ("deliveries", "e1", "tell", "crm")
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 1
    assert kept.view.mark_dead_letters(["d1"], REPLAYED) == 0
    assert kept.view.dead_letter("other") is None


def test_one_that_fails_again_after_its_replay_is_kept_again(kept: Kept) -> None:
    kept.letter("d1")
    kept.view.mark_dead_letters(["d1"], REPLAYED)
    kept.letter("d1", at=NOW + 60)
    assert [(letter.state, letter.at) for letter in kept.view.dead_letters(10)] == [(KEPT, NOW + 60)]


def test_a_large_dead_letter_is_reported_whole(kept: Kept) -> None:
    kept.record(DeadLetter("d1", "undeliverable", "", NOW, b"x" * 2_000_000, "events", "e1"))
    letter = kept.view.dead_letter("d1")
    assert letter
    assert len(letter.message) == 2_000_000
