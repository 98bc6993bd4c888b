"""The caps of a destination, as the configuration's checks and its slice have them."""

import pytest

from tests.unit.config.test_destination_options import compiled, faults


@pytest.mark.parametrize(
    ("written", "rate"),
    [("10/s", (10, 1.0)), ("100/m", (100, 60.0)), ("20 / h", (20, 3_600.0)), ("500/d", (500, 86_400.0))],
)
def test_a_rate_is_so_many_deliveries_in_so_many_seconds(written: str, rate: tuple[int, float]) -> None:
    assert compiled(f"rate: {written}").rate == rate


def test_caps_are_compiled_into_the_slice() -> None:
    configured = compiled("rate: 10/s, in_flight: 5, per: data.customer.id")
    assert (configured.rate, configured.in_flight, configured.per) == ((10, 1.0), 5, "data.customer.id")


def test_a_destination_has_no_caps_unless_it_says_so() -> None:
    configured = compiled("retry: [5s]")
    assert (configured.rate, configured.in_flight, configured.per) == (None, None, None)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("rate: 10", "must be a number of deliveries from 1 to 10000 and the time for them, such as 10/s"),
        ("rate: 0/s", "got '0/s'"),
        ("rate: 99999/s", "got '99999/s'"),
        ("rate: 1.5/s", "got '1.5/s'"),
        ("rate: 10/w", "got '10/w'"),
        ("rate: [10, s]", "got [10, 's']"),
        ("in_flight: 0", "in_flight"),
        ("in_flight: many", "in_flight"),
        ("per: data.customer", "per: needs `rate` or `in_flight`; got neither"),
        ("rate: 1/s, per: data.", "must be a JMESPath expression over the event; got 'data.': column 6"),
        ("rate: 1/s, per: dat.customer", "there is no 'dat'"),
    ],
)
def test_a_fault_names_the_cap_and_the_rule(options: str, rule: str) -> None:
    text = faults(options)
    assert "hookchain.yaml:4: destination 'office': " in text or "hookchain.yaml:4: destination 'office'" in text
    assert rule in text
