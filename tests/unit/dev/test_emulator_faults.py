"""Faults on demand: what is asked for happens, as often as asked, and the same again from the same seed."""

import random

import pytest

from deploy.dev.faults import FaultPlan, Faults, MailFaults
from shared.jsontext import JsonObject


def a_plan(seed: int = 1, **shares: float) -> FaultPlan:
    return FaultPlan(Faults(**shares), random.Random(seed))


def test_the_same_seed_makes_the_same_trouble() -> None:
    one, other = (a_plan(7, duplicate=0.3, delay=0.3) for _ in range(2))
    assert [one.arrival() for _ in range(200)] == [other.arrival() for _ in range(200)]


def test_a_fault_that_a_change_does_not_name_stays() -> None:
    faults = Faults(duplicate=0.1).changed({"nack": 1, "delay_seconds": 30})
    assert faults == Faults(duplicate=0.1, nack=1.0, delay_seconds=30.0)
    assert faults.nack == 1.0


@pytest.mark.parametrize("changes", [{"nack": 1.1}, {"nack": "0.1"}, {"neck": 0.1}])
def test_an_invalid_bus_fault_is_rejected(changes: JsonObject) -> None:
    with pytest.raises(ValueError, match=r"n[ae]ck"):
        Faults().changed(changes)


def test_the_next_mails_fail_in_order_before_any_share_counts() -> None:
    faults = MailFaults(generator=random.Random(1))
    faults.change({"next": [{"kind": "429", "count": 2}, {"kind": "503"}], "shares": {"500": 1}})
    assert [faults.choose() for _ in range(4)] == ["429", "429", "503", "500"]


def test_unplugged_goes_before_all_else_and_uses_nothing_up() -> None:
    faults = MailFaults(generator=random.Random(1))
    faults.change({"next": [{"kind": "503"}], "unplugged": True})
    assert faults.choose() == "unplugged"
    faults.change({"unplugged": False})
    assert (faults.choose(), faults.choose()) == ("503", None)


@pytest.mark.parametrize(
    "changes", [{"unplugged": 1}, {"shares": {"418": 0.1}}, {"shares": {"429": 0.6, "503": 0.6}}, {"plugged": False}]
)
def test_an_invalid_mail_fault_is_rejected_and_changes_nothing(changes: JsonObject) -> None:
    faults = MailFaults()
    before = faults.document()
    with pytest.raises(ValueError, match=r"\w"):
        faults.change({"hang_seconds": 1, **changes})
    assert faults.document() == before
