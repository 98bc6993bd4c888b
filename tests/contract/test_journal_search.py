"""What every reader of a journal finds, and in which order."""

import pytest

from deploy.history.journal_view import EventQuery
from shared.event import Event
from shared.journal import EventEntry
from shared.times import rfc3339
from tests.contract.kept_journal import NOW, OTHER, Kept


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["e3", "e2", "e1"]),
        ({"source": "shop"}, ["e2"]),
        ({"source": "sho"}, []),
        ({"type": "order.paid"}, ["e2"]),
        ({"type": "order.*"}, ["e2"]),
        ({"type": "order"}, []),
        ({"type": "*"}, ["e3", "e2", "e1"]),
        ({"source": "web", "type": "signup.created", "status": "delivering"}, ["e3", "e1"]),
        ({"text": "lovelace"}, ["e1"]),
        ({"text": "LOVE ada"}, ["e1"]),
        ({"text": "ovelace"}, []),
        ({"text": '"ada lovelace"'}, ["e1"]),
        ({"text": "tab\\there"}, []),
        ({"since": NOW}, ["e3", "e2"]),
        ({"until": NOW}, ["e2", "e1"]),
        ({"since": NOW - 100, "until": NOW - 100}, ["e1"]),
        ({"since": NOW + 0.001, "source": "web"}, ["e3"]),
        ({"limit": 2}, ["e3", "e2"]),
    ],
)
def test_events_are_found_newest_first(
    kept: Kept, query: dict[str, str | float | int | None], expected: list[str]
) -> None:
    kept.event("e1", at=NOW - 100, data={"name": "Ada Lovelace"})
    kept.event("e2", at=NOW, source="shop", type="order.paid", data={"name": "Grace Hopper"})
    kept.event("e3", at=NOW + 100)
    assert kept.found(**query) == expected


def test_pages_follow_one_another_without_a_gap_or_a_repetition(kept: Kept) -> None:
    ids = [f"e{number}" for number in range(7)]
    entries = [
        EventEntry(Event(each, "/sources/web", "t", rfc3339(NOW + (number // 3) * 0.001), "0" * 64), (OTHER,), NOW)
        for number, each in enumerate(ids)
    ]
    kept.record(*entries)
    shown: list[str] = []
    before = None
    while True:
        page = kept.view.events(EventQuery(limit=2, before=before))
        shown += [event.id for event in page.events]
        before = page.next_before
        if before is None:
            break
    assert sorted(shown) == ids


def test_the_beginning_of_an_id_finds_it(kept: Kept) -> None:
    for event_id in ("abc1", "abc2", "abd1"):
        kept.event(event_id)
    assert kept.view.ids_beginning("events", "abc", 4) == ["abc1", "abc2"]
    assert kept.view.ids_beginning("events", "abc", 1) == ["abc1"]
    assert kept.view.ids_beginning("events", "x", 4) == []
    assert kept.view.ids_beginning("dead_letters", "abc", 4) == []
