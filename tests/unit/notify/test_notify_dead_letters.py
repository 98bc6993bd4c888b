import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.dead_letters import MAX_UNREADABLE_BYTES, keep_dead_letter, read_dead_letter, read_message
from shared.dead_letter_message import dead_letter_message
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.journal import DeadLetter
from shared.jsontext import to_json
from shared.push import Push
from tests.fakes.journal import FakeJournal
from tests.fakes.notifier import DELIVERY, EVENT, message_of, push_of

NOW = 1_790_000_000.0
LETTER = DeadLetter("d1", "gone", "no such list", NOW - 5, b'{"a":1}', "deliveries", "e1", "tell the list", "crm")
GIVEN_UP = {
    "CloudPubSubDeadLetterSourceSubscription": "deliveries-push",
    "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
    "CloudPubSubDeadLetterSourceDeliveryCount": "100",
}


async def test_a_dead_letter_of_ours_is_kept_as_it_was_written() -> None:
    journal = FakeJournal()
    message = dead_letter_message(LETTER)
    await keep_dead_letter(read_dead_letter(push_of(message.data, dict(message.attributes)), NOW), journal)
    assert journal.dead_letters == [LETTER]


async def test_a_journal_that_fails_leaves_it_with_the_bus() -> None:
    journal = FakeJournal()
    journal.fault = "the disk is full"
    with pytest.raises(Temporary):
        await keep_dead_letter(LETTER, journal)


async def test_where_there_is_no_journal_it_stays_with_the_bus() -> None:
    with pytest.raises(Temporary, match="no journal"):
        await keep_dead_letter(LETTER, None)


def test_a_delivery_that_pubsub_gave_up_on_is_kept_under_its_own_id() -> None:
    data = message_of(DELIVERY, NOW)
    letter = read_dead_letter(push_of(data, GIVEN_UP), NOW)
    assert (letter.id, letter.code, letter.topic) == (DELIVERY.id, "undeliverable", "deliveries")
    assert (letter.event_id, letter.route, letter.destination) == ("e1", "tell the list", "crm")
    assert letter.reason == "the subscription 'deliveries-push' gave up after 100 tries"
    assert letter.message == data


def test_an_event_that_pubsub_gave_up_on_is_kept_before_it_has_a_route() -> None:
    letter = read_dead_letter(push_of(to_json(to_cloudevent(EVENT)).encode(), GIVEN_UP), NOW)
    assert (letter.id, letter.code, letter.topic) == ("e1:", "undeliverable", "events")


def test_what_the_bus_of_another_system_brought_in_vain_is_kept_each_time_and_says_who_gave_up() -> None:
    pushes = [Push(b"[1]", {}, message_id) for message_id in ("m1", "m2", "m1")]
    first, second, repeated = [read_message(each, NOW, "the subscription 'bus-jobs' gave up") for each in pushes]
    assert first.reason.startswith("the subscription 'bus-jobs' gave up, and it is not a message of Hookchain: ")
    assert first.id == repeated.id != second.id


@given(st.binary(max_size=200))
def test_whatever_comes_is_kept(content: bytes) -> None:
    assert read_dead_letter(content, NOW).message == content
    assert read_dead_letter(push_of(content), NOW).message == content
    assert read_dead_letter(push_of(content, GIVEN_UP), NOW).message == content


def test_what_nobody_can_read_is_kept_in_part_where_it_is_huge() -> None:
    letter = read_dead_letter(push_of(b"x" * (MAX_UNREADABLE_BYTES + 1)), NOW)
    assert len(letter.message) == MAX_UNREADABLE_BYTES


def test_a_name_that_no_id_can_be_made_of_is_kept_and_told() -> None:
    data = message_of(DELIVERY, NOW).replace(b'"tell the list"', b'"\\ud800"')
    letter = read_dead_letter(push_of(data, GIVEN_UP), NOW)
    assert (letter.message, letter.topic) == (data, "dead-letters")
    assert "half of a surrogate pair" in letter.reason


@pytest.mark.parametrize("name", ["id", "reason"])
def test_a_dead_letter_that_could_not_be_written_down_is_kept_as_it_came(name: str) -> None:
    """It would come again and again until the bus forgets it."""
    data = dead_letter_message(LETTER).data.replace(f'"{name}":"'.encode(), f'"{name}":"\\ud800'.encode())
    letter = read_dead_letter(push_of(data), NOW)
    assert (letter.code, letter.message) == ("malformed_event", data)
    assert "half of a surrogate pair" in letter.reason


def test_an_event_given_up_on_whose_id_could_not_be_written_down_is_kept_as_it_came() -> None:
    data = json.dumps({**to_cloudevent(EVENT), "id": "\ud800"}).encode()
    letter = read_dead_letter(push_of(data, GIVEN_UP), NOW)
    assert (letter.code, letter.message) == ("malformed_event", data)
