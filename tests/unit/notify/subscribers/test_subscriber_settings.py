"""The settings of subscribers that notify reads from its slice."""

import pytest

from functions.notify.subscribers.subscribers import read_subscriber_settings
from shared.retention import Retention


@pytest.mark.parametrize(("events", "bodies"), [(100.0, 40.0), (40.0, 100.0)])
def test_a_message_has_the_events_data_so_it_is_kept_no_longer_than_bodies_are(events: float, bodies: float) -> None:
    retention = Retention(events_seconds=events, bodies_seconds=bodies)
    settings = read_subscriber_settings({"disable_after_seconds": 1}, retention)
    assert settings.keep_seconds == 40.0
