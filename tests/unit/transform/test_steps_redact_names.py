"""Redact, where what nobody should read is the name of a field."""

import pytest

from shared.jsontext import Json
from tests.unit.transform.test_steps_compose import CARD
from tests.unit.transform.written_steps import data_after

EVERYTHING: Json = {"redact": {"cards": True, "emails": True}}


def test_redact_masks_names_of_fields_and_their_values_stay() -> None:
    members: Json = {"ada@example.com": {"role": "owner"}, CARD: [1], "team": "sales"}
    assert data_after(EVERYTHING, members) == {"***@example.com": {"role": "owner"}, "***": [1], "team": "sales"}


def test_redact_tells_names_apart_that_are_one_once_masked_so_that_no_field_is_lost() -> None:
    members: Json = {"ada@x.org": 1, "***@x.org (2)": 2, "bob@x.org": 3, "***@x.org": 4}
    after = data_after(EVERYTHING, members)
    assert isinstance(after, dict)
    assert list(after.values()) == [1, 2, 3, 4]
    assert not {"ada@x.org", "bob@x.org"} & set(after)


@pytest.mark.parametrize("number", [4111111111111111, 4111111111111111.0])
def test_redact_masks_a_card_that_was_sent_as_a_number(number: int | float) -> None:
    assert data_after(EVERYTHING, {"card": number}) == {"card": "***"}


@pytest.mark.parametrize("number", [4111111111111112, 4111111111111111.5, 1.5e12, -4111111111111111, 1e300, True])
def test_redact_leaves_other_numbers(number: int | float) -> None:
    after = data_after(EVERYTHING, {"n": number})
    assert (after, type(after)) == ({"n": number}, dict)


@pytest.mark.parametrize("step", ["data.iban", ["data.iban"], {"paths": "data.iban"}])
def test_one_path_may_stand_alone(step: Json) -> None:
    assert data_after({"redact": step}, {"iban": "GB33", "name": "Ada"}) == {"iban": "***", "name": "Ada"}
