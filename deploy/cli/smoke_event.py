"""The event of a smoke test, looked for in journal and ledger, or in the functions' logs."""

import sys
import time
from typing import Final

from deploy.cli.smoke_follow import EventState, state_from_logs, state_from_records
from deploy.history.cloud_log import PAGE, LogQuery
from deploy.history.journal_view import EventQuery
from deploy.history.state import State
from deploy.platforms.platform import Platform
from shared.errors import HookchainError

TRIES: Final = 20
PAUSE_SECONDS: Final = 0.5
CLOCKS_APART_SECONDS: Final = 120.0


class SentEvent:
    """The event that was sent, wherever it is. The logs, which are some seconds behind, are read if the journal cannot
    be."""

    def __init__(self, state: State, platform: Platform) -> None:
        self._state = state
        self._platform = platform
        self._is_journal_read = True

    def newest_id(self, source: str, since: float) -> str | None:
        """Return the id of the source's newest event since a time, for providers whose reply names none."""
        for _ in range(TRIES):
            if events := self._state.reader.events(EventQuery(source=source, since=since, limit=1)).events:
                return events[0].id
            time.sleep(PAUSE_SECONDS)
        return None

    def look(self, event_id: str, posted_at: float) -> EventState:
        if self._is_journal_read:
            try:
                record = self._state.reader.event(event_id)
                return state_from_records(record, self._state.deliveries(event_id) if record else ())
            except HookchainError as fault:
                self._is_journal_read = False
                print(f"the journal cannot be read; reading the logs instead: {fault.detail}", file=sys.stderr)
        query = LogQuery(event=event_id)
        records = self._platform.records(query, posted_at - CLOCKS_APART_SECONDS, PAGE, is_followed=False)
        return state_from_logs([record for record in records if record is not None], event_id)
