"""The listing of a source's missed events: the requests to the provider's API, and what their answers have.

A listing sends one request at a time. An answer has events and leads to further requests, which are sent before the
others. A request that fails is sent again in the next run, and is skipped if it fails there, too. So one bad page does
not keep the others from being read.
"""

import asyncio
import fnmatch
import re
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from functions.notify.recovery.kind import (
    UNKNOWN_FORM,
    ApiRequest,
    ListItem,
    MissedEvent,
    RecoverySettings,
    UnknownHook,
    UnreadableEvent,
    Window,
)
from functions.notify.recovery.kinds import KINDS
from shared import credential_masks, errors, jsontext
from shared.fetch import Fetch, Fetched, Outgoing, reset_seconds, retry_after_seconds

ANSWER_SECONDS: Final = 6.0
SETTLED_SECONDS: Final = 120.0
"""A younger event may still be on its way. A provider that lists all events does not tell it from one that failed."""
MAX_LIST_BYTES: Final = 32 * 1024 * 1024
MAX_EVENT_BYTES: Final = 12 * 1024 * 1024
"""A source accepts bodies of 10 MiB at most."""
MAX_PAUSE_SECONDS: Final = 3_600.0
LIMITED_SECONDS: Final = 30.0
"""The least pause after a 429."""
MAX_FAULTS: Final = 3
"""After so many faults in a row, the provider is not asked again in this run."""
_NOT_OF_PLACE: Final = frozenset({401, 408})
"""The 4xx statuses that say nothing about a place. A 403 or 404 may: a token can have rights for other places only."""


def read_recovery_settings(notify: jsontext.JsonObject) -> tuple[RecoverySettings, ...]:
    """Return the settings of each source in notify's slice that has `recover`."""
    return tuple(
        RecoverySettings(
            source=source,
            kind=KINDS[str(each["provider"])],
            secret=str(each["secret"]),
            places=tuple(map(str, jsontext.list_at(each, "places"))),
            public_url=str(each.get("url", "")),
            types=_types_pattern(jsontext.list_at(each, "types")),
            api=str(each.get("api", "")),
            allow_private=each.get("allow_private") is True,
            redelivers=each.get("redeliver") is True,
        )
        for source, each in jsontext.mappings_at(notify, "recover").items()
    )


def _types_pattern(types: Sequence[jsontext.Json]) -> re.Pattern[str] | None:
    """Return a pattern that matches these types of routes as transform does; None, for all types, if there are none."""
    return re.compile("|".join(fnmatch.translate(str(each)) for each in types)) if types else None


class ProviderFault(Exception):
    """The provider did not list its events.

    pause_seconds  how long the provider wants no further request; 0 if it says nothing about it
    is_of_place    the request cannot succeed until somebody corrects its place, such as a repository that was renamed
    """

    def __init__(self, text: str, pause_seconds: float = 0.0, *, is_of_place: bool = False) -> None:
        super().__init__(text)
        self.pause_seconds = pause_seconds
        self.is_of_place = is_of_place


@dataclass(slots=True, eq=False, repr=False)
class ProviderApi:
    """The API of a source's provider, read with the source's token."""

    settings: RecoverySettings
    fetch: Fetch
    token: str

    async def items(self, request: ApiRequest, window: Window, now: float) -> list[ListItem]:
        """Send the request and return what its answer lists. Raises ProviderFault.

        It lists nothing if the request is for a single event that the provider has deleted.
        """
        kind = self.settings.kind
        answer = await self._send(request, now)
        if answer is None:
            return []
        try:
            # In a thread, because a large answer takes seconds, and the sweep must publish what is due meanwhile.
            return await asyncio.to_thread(lambda: [*kind.read_answer(request, answer, window)])
        except UnknownHook as error:
            raise ProviderFault(str(error), is_of_place=True) from error
        except UNKNOWN_FORM as error:
            if request.is_for_event:  # it would fail in each run, and there are other events
                return [UnreadableEvent()]
            raise ProviderFault(f"{kind.title} answered {request.answer_kind} in an unknown form") from error

    async def _send(self, request: ApiRequest, now: float) -> Fetched | None:
        """Return the answer; None if the provider has deleted the event. Raises ProviderFault."""
        kind = self.settings.kind
        headers = [(name, value.format(token=self.token)) for name, value in kind.headers.items()]
        if request.body is not None:
            headers.append(("Content-Type", "application/json"))
        outgoing = Outgoing(
            method="GET" if request.body is None else "POST",
            url=self.settings.api_url + request.path,
            headers=tuple(headers),
            body=b"" if request.body is None else jsontext.texts_json(request.body),
            timeout_seconds=ANSWER_SECONDS,
            max_bytes=MAX_EVENT_BYTES if request.is_for_event else MAX_LIST_BYTES,
            allow_private=self.settings.allow_private,
            may_repeat=request.body is None,
        )
        try:
            answer = await self.fetch.fetch(outgoing)
        except errors.HookchainError as error:
            raise ProviderFault(f"{kind.title}: {credential_masks.masked(error.detail, [self.token])}") from error
        if answer.status in (404, 410, 422) and request.is_for_event:
            return None
        if not 200 <= answer.status < 300:
            raise _status_fault(self.settings, request, answer, now)
        return answer


def _status_fault(settings: RecoverySettings, request: ApiRequest, answer: Fetched, now: float) -> ProviderFault:
    """Return the fault that an answer with an error status reports.

    If the provider wants a pause, nothing else is wrong. Otherwise, a 3xx or 4xx is of the place if the source has
    places, and a 401, 403 or 404 may be due to the token.
    """
    status = answer.status
    text = f"{settings.kind.title} answered {status} to {request.path.partition('?')[0]}"
    pause_seconds = retry_after_seconds(answer.header("retry-after"), now) or 0.0
    if answer.header("x-ratelimit-remaining") == "0":
        pause_seconds = max(pause_seconds, reset_seconds(answer.header("x-ratelimit-reset"), now) or 0.0)
    if status == 429:
        pause_seconds = max(pause_seconds, LIMITED_SECONDS)
    is_of_place = False
    if not pause_seconds:
        is_of_place = bool(settings.kind.places_key) and 300 <= status < 500 and status not in _NOT_OF_PLACE
        if status in (401, 403, 404):
            text += f". The token {settings.secret} needs {settings.rights}"
        elif 300 <= status < 400 and is_of_place:
            text += f". It was moved or renamed: correct `{settings.kind.places_key}`"
    return ProviderFault(text, min(pause_seconds, MAX_PAUSE_SECONDS), is_of_place=is_of_place)


class ReadAnswer(NamedTuple):
    """The missed events of an answer, and the requests that follow from it."""

    missed_events: Sequence[MissedEvent]
    further_requests: Sequence[ApiRequest]


@dataclass(slots=True)
class Failures:
    """The requests that failed, by their identity.

    in_run_before  those that failed in the run before, and are left. One that fails again is skipped
    in_this_run    those that failed in this run, and are left. They are behind all others, and are not sent again now
    count_in_row   how many requests failed since one succeeded, without those whose fault is of one place
    is_stopped     nothing more is sent in this run: the provider wants a pause, or MAX_FAULTS requests failed in a row
    """

    in_run_before: Collection[str] = ()
    in_this_run: set[str] = field(default_factory=set)
    count_in_row: int = 0
    is_stopped: bool = False


@dataclass(slots=True)
class Listing:
    """The events that a provider lists in a window, read request by request, in one run or several.

    A run reads one answer after the other: `read_next` sends the next request, the caller publishes the events of its
    answer, and `finish` goes on to the requests that follow. At the end of the run, the caller stores what is left for
    `resume`.

    requests           the requests that are left, in the order in which they are sent
    includes_rejected  events that receive had rejected are missed events too
    reads_each_event   further requests read the webhook request of each event, where the list does not have it
    handled            by the id of an event that is passed over from now on: when it happened
    rejected_count     how many events were passed over because receive had rejected them
    unreadable_count   how many events were passed over because they are in an unknown form
    is_partial         a request was skipped, so the next listing has to cover this window again
    answered           the identity of each request that was answered in this run
    """

    settings: RecoverySettings
    api: ProviderApi
    window: Window
    requests: deque[ApiRequest]
    includes_rejected: bool = False
    reads_each_event: bool = True
    handled: dict[str, float] = field(default_factory=dict)
    rejected_count: int = 0
    unreadable_count: int = 0
    is_partial: bool = False
    answered: set[str] = field(default_factory=set)
    failures: Failures = field(default_factory=Failures)

    @property
    def has_next(self) -> bool:
        """Return whether a request is left that can be sent in this run.

        If the next one has failed in this run, all others have been sent, because it was put behind them.
        """
        if not self.requests or self.failures.is_stopped:
            return False
        return self.requests[0].identity not in self.failures.in_this_run

    def resume(
        self, window: Window, requests: Sequence[ApiRequest], failed_before: Collection[str], *, is_partial: bool
    ) -> None:
        """Continue the listing that an earlier run left unfinished, instead of this one. `failed_before` has the
        identities of the requests that failed in that run."""
        self.window = window
        self.requests = deque(requests)
        self.failures = Failures(in_run_before=failed_before)
        self.is_partial = is_partial

    async def read_next(self, now: float) -> ReadAnswer:
        """Send the next request and read its answer. The request is left until `finish`, so a failure loses no event.

        Raises ProviderFault. Then another request is next, or none can be sent in this run.
        """
        request = self.requests[0]
        if request.identity in self.answered and not request.is_for_event:
            self._skip()
            raise ProviderFault(f"{self.settings.kind.title} lists the same page again")
        try:
            items = await self.api.items(request, self.window, now)
        except ProviderFault as fault:
            self._set_aside(request, fault)
            raise
        self.answered.add(request.identity)
        self.failures.count_in_row = 0
        return self._select(items)

    def finish(self, answer: ReadAnswer) -> None:
        """Continue with the requests that follow from the answer. Its events are handled."""
        self.requests.popleft()
        self.requests.extendleft(reversed(answer.further_requests))  # it takes the first one last
        self.handled |= {event.id: event.happened_at for event in answer.missed_events}

    def is_repeat(self, event: MissedEvent) -> bool:
        """Return whether the provider was asked before to deliver the event again."""
        return bool(event.failed_redelivery_id) and event.provider_id in self.handled

    def _set_aside(self, request: ApiRequest, fault: ProviderFault) -> None:
        """Let the other requests go on, unless the provider wants a pause or too many failed in a row.

        A request that failed in two runs is skipped, so that a new listing can begin.
        """
        failures = self.failures
        if fault.pause_seconds:
            failures.is_stopped = True
            return
        if not fault.is_of_place:  # a fault of one place says nothing about the others
            failures.count_in_row += 1
            if failures.count_in_row >= MAX_FAULTS:
                failures.is_stopped = True
        if fault.is_of_place or request.identity in failures.in_run_before:
            self._skip()
        else:
            failures.in_this_run.add(request.identity)
            self.requests.rotate(-1)  # behind all others

    def _skip(self) -> None:
        """Drop the next request."""
        self.requests.popleft()
        self.is_partial = True

    def _select(self, items: Sequence[ListItem]) -> ReadAnswer:
        """Return the events that are not handled yet, and the requests."""
        missed_events: list[MissedEvent] = []
        further_requests: list[ApiRequest] = []
        ids: set[str] = set()
        for item in items:
            if isinstance(item, ApiRequest):
                further_requests.append(item)
                continue
            if isinstance(item, UnreadableEvent):
                self.unreadable_count += 1
                continue
            if item.id in self.handled or item.id in ids:
                continue
            ids.add(item.id)
            if item.rejected_status is not None and not self.includes_rejected:
                self.handled[item.id] = item.happened_at
                self.rejected_count += 1
            elif item.api_request and self.reads_each_event:
                further_requests.append(item.api_request)
            else:
                missed_events.append(item)
        return ReadAnswer(missed_events, further_requests)


def begin_listing(
    settings: RecoverySettings,
    fetch: Fetch,
    token: str,
    since: float,
    now: float,
    *,
    includes_rejected: bool = False,
    reads_each_event: bool = True,
) -> Listing:
    """Return a listing of the events since this time (Unix seconds), as far as the provider keeps them."""
    kept_since = now - settings.kind.kept_seconds
    until = now - SETTLED_SECONDS if settings.kind.lists_unsettled else now
    window = Window(settings, max(since, kept_since), until)
    return Listing(
        settings=settings,
        api=ProviderApi(settings, fetch, token),
        window=window,
        requests=deque(settings.kind.first_requests(window)),
        includes_rejected=includes_rejected,
        reads_each_event=reads_each_event,
    )
