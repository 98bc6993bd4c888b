"""The health of a source: one word, its reason, and the command that corrects it.

`read_facts` reads the facts about each source, and `judge`, a pure function, returns the health. `hookchain status`,
`hookchain doctor` and the page show the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final, Literal, NamedTuple, TypeAlias

from deploy.history import journal_view, local_requests
from deploy.requests.sources import auth_secret_names
from deploy.terminal.output import rough_duration
from functions.notify.hook_expiry import SOON_SECONDS
from functions.notify.recovery import airtable
from shared import retention, times
from shared.event import RECOVERED
from shared.jsontext import Json, JsonObject, mapping_at, value_at

SAMPLED_EVENTS: Final = 50
"""The number of newest events of a source from which its usual interval is computed."""
LEAST_GAPS: Final = 3
"""The least number of intervals between events from which a usual interval is computed."""
LONGEST_GAPS: Final = 3
"""A source without `silence` is overdue after this many times its longest interval, but not within a day."""
MAX_REJECTED: Final = 500
"""The number of newest rejected requests in a cloud's log that are searched for the last one of each source."""
RECOVERY_SECONDS: Final = 300.0
"""How long after a failed delivery an event is usually recovered: EVERY_SECONDS of functions/notify/recovery."""
MAX_READ: Final = 10
"""The newest events of a source with `recover` that are read whole, at most."""
_NEVER_MISSED: Final = frozenset({airtable.TYPE})
"""The event types that no webhook delivers, so that all their events are recovered ones."""
_MAX_DETAIL_CHARACTERS: Final = 600
_RECEIVE_LOGS: Final = "hookchain logs --function receive --since 1d"

Word: TypeAlias = Literal["healthy", "quiet", "failing", "unregistered", "unknown"]
State: TypeAlias = Literal["registered", "broken", "unregistered"]


class HookState(NamedTuple):
    """The hook of a source at one place, as its provider describes it.

    state        `broken` if the provider sends no events to this source, or not all that the routes need
    differences  how the hook differs from the configuration, one sentence each
    report       the provider's report about its last deliveries, if they failed
    reported_at  the time of that failure in Unix seconds; None if the provider does not say it
    expires_at   Unix seconds; None if the hook does not expire
    """

    at: str
    state: State
    differences: tuple[str, ...] = ()
    report: str = ""
    reported_at: float | None = None
    expires_at: float | None = None


class Registration(NamedTuple):
    """The hooks of a source that has `hook` in the configuration.

    unasked_reason     the reason why the provider could not be asked about one of the places; empty if it could
    url                the public URL that the commands need as --url; empty if they find it
    remembered_expiry  the time at which the first hook expires, as it is stored; None if that is not known
    """

    hooks: tuple[HookState, ...] = ()
    unasked_reason: str = ""
    url: str = ""
    remembered_expiry: float | None = None

    @property
    def word(self) -> str:
        states = {each.state for each in self.hooks}
        if "unregistered" in states:
            return "no"
        if "broken" in states or any(each.differences for each in self.hooks):
            return "differs"
        return "unknown" if self.unasked_reason else "yes"

    @property
    def expires_at(self) -> float | None:
        """Return when the first of the hooks expires: as the provider says, or as it is stored if no hook says it."""
        known = [each.expires_at for each in self.hooks if each.expires_at is not None]
        return min(known, default=self.remembered_expiry)


@dataclass(frozen=True, slots=True)
class Outside:
    """The facts about all sources that the journal does not have.

    registrations  the registrations of the sources with `hook`, by name
    secrets        the times at which the secrets of the configuration were set, by name; None if one is not known
    rejected       the newest requests that were rejected, if the journal does not have them
    """

    registrations: Mapping[str, Registration] = field(default_factory=dict)
    secrets: Mapping[str, float | None] = field(default_factory=dict)
    rejected: Sequence[local_requests.RequestEntry] = ()


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """The facts about a source.

    registration     None without `hook`: Hookchain cannot know if the sender has the URL
    secret_set_at    the time at which the oldest of its secrets was set; None if that is not known
    last_new_at      the time of its last event that was not a repeat
    usual_seconds    the median interval between its last events; None if there were too few
    overdue_seconds  the time without an event after which it is overdue; None if that is not known
    rejected         its last request that was rejected
    sampled_at       the times at which its newest events were received, at most SAMPLED_EVENTS
    is_last_missed   the provider could not deliver its last event, which was recovered, and none came by itself
                     shortly before
    """

    source: str
    registration: Registration | None = None
    secret_set_at: float | None = None
    last_at: float | None = None
    last_new_at: float | None = None
    usual_seconds: float | None = None
    overdue_seconds: float | None = None
    rejected: local_requests.RequestEntry | None = None
    sampled_at: tuple[float, ...] = ()
    is_last_missed: bool = False

    @property
    def hooks(self) -> tuple[HookState, ...]:
        return self.registration.hooks if self.registration else ()

    @property
    def unasked_reason(self) -> str:
        """Return why the provider could not be asked; empty if it could, or if there is no registration."""
        return self.registration.unasked_reason if self.registration else ""

    def is_overdue(self, now: float) -> bool:
        if self.last_at is None or self.overdue_seconds is None:
            return False
        return now - self.last_at > self.overdue_seconds


class Health(NamedTuple):
    """The health of a source.

    command  corrects the trouble or shows more of it; empty if nothing is to be done, as only if `word` is `healthy`
    """

    word: Word
    reason: str
    command: str = ""


def judge(facts: SourceFacts, now: float, where: str = "") -> Health:
    """Return the health by the first rule that applies. `where` is the options of the deployment, after a space."""
    health = (
        _unregistered(facts)
        or _broken(facts)
        or _expiring(facts, now)
        or _reported(facts)
        or _rejected(facts, now)
        or _missed(facts, now)
        or _overdue(facts, now)
        or _without_events(facts)
        or _healthy(facts, now)
    )
    return health._replace(command=f"{health.command}{where}") if health.command else health


def _unregistered(facts: SourceFacts) -> Health | None:
    missing = [each for each in facts.hooks if each.state == "unregistered"]
    return Health("unregistered", _differences_text(missing), _hooks_command(facts, "apply")) if missing else None


def _broken(facts: SourceFacts) -> Health | None:
    broken = [each for each in facts.hooks if each.state == "broken"]
    return Health("failing", _differences_text(broken), _hooks_command(facts, "apply")) if broken else None


def _expiring(facts: SourceFacts, now: float) -> Health | None:
    """Apply if the provider cannot be asked, so the expiry is the stored one. Otherwise, `_broken` has the expiry."""
    expires_at = facts.registration.expires_at if facts.registration and facts.unasked_reason else None
    if expires_at is None or expires_at > now + SOON_SECONDS:
        return None
    reason = f"its webhook expires at {times.rfc3339(expires_at)}"
    return Health("failing", _with_unknown(reason, facts), _hooks_command(facts, "apply"))


def _reported(facts: SourceFacts) -> Health | None:
    """Apply to a failure that the provider reports, unless an event was accepted after it."""
    last_at = facts.last_at or 0.0
    failed = [each for each in facts.hooks if each.report and (each.reported_at is None or each.reported_at > last_at)]
    if not failed:
        return None
    reports = "; ".join(_with_place(each, each.report) for each in failed)
    return Health("failing", reports, _RECEIVE_LOGS)


def _rejected(facts: SourceFacts, now: float) -> Health | None:
    rejected = facts.rejected
    if rejected is None or (facts.last_new_at is not None and facts.last_new_at >= rejected.at):
        return None
    reason = f"a request was rejected {_ago(rejected.at, now)}, and no new event came since: {rejection_text(rejected)}"
    if rejected.status >= 500:
        return Health("failing", reason, "hookchain doctor")
    if rejected.status not in (401, 403):
        return Health("failing", reason, _RECEIVE_LOGS)
    # The sender was not accepted: the hook at the provider, or the steps to set it up, may show why.
    command = f"hookchain sources {facts.source}" if facts.unasked_reason else _setup_command(facts)
    return Health("failing", reason, command)


def _missed(facts: SourceFacts, now: float) -> Health | None:
    """Apply if the last event had to be recovered. Without this rule, recovered events would hide a broken URL."""
    if not facts.is_last_missed or facts.last_at is None:
        return None
    reason = f"the provider could not deliver its last event, which was recovered {_ago(facts.last_at, now)}"
    return Health("failing", reason, _RECEIVE_LOGS)


def _overdue(facts: SourceFacts, now: float) -> Health | None:
    if not facts.is_overdue(now) or facts.last_at is None or facts.overdue_seconds is None:
        return None
    usual = "" if facts.usual_seconds is None else f", and the usual interval is {usual_text(facts.usual_seconds)}"
    reason = f"its last event came {_ago(facts.last_at, now)}{usual}"
    return Health("quiet", _with_unknown(reason, facts), _setup_command(facts))


def usual_text(seconds: float) -> str:
    return rough_duration(seconds) if seconds >= 1 else "under 1 s"


def _without_events(facts: SourceFacts) -> Health | None:
    """Apply to a source that never had an event, unless its provider was asked and has its hook."""
    was_asked = facts.registration is not None and not facts.unasked_reason
    if facts.last_at is not None or was_asked:
        return None
    return Health("unknown", _with_unknown("it has no event yet", facts), _setup_command(facts))


def _healthy(facts: SourceFacts, now: float) -> Health:
    reason = "it has no event yet" if facts.last_at is None else f"its last event came {_ago(facts.last_at, now)}"
    if facts.registration is None or facts.unasked_reason:
        return Health("healthy", _with_unknown(reason, facts))
    different = [each for each in facts.hooks if each.differences]
    if different:
        return Health("healthy", f"{reason}; {_differences_text(different)}", _hooks_command(facts, "apply"))
    return Health("healthy", f"{reason}; it is registered" if facts.last_at is None else reason)


def _setup_command(facts: SourceFacts) -> str:
    """Return the command that shows how to set the source up: its hooks, or without `hook` the steps for a person."""
    return _hooks_command(facts, "plan") if facts.registration else f"hookchain sources {facts.source}"


def _hooks_command(facts: SourceFacts, action: str) -> str:
    url = facts.registration.url if facts.registration else ""
    return f"hookchain hooks {action} {facts.source}{f' --url {url}' if url else ''}"


def _with_unknown(reason: str, facts: SourceFacts) -> str:
    """Return the reason, and that it is not known whether the source is registered, if the provider was not asked."""
    unknown = facts.unasked_reason
    return f"{reason}; not known whether it is registered: {unknown}" if unknown else reason


def _differences_text(hooks: Sequence[HookState]) -> str:
    return "; ".join(_with_place(each, "; ".join(each.differences)) for each in hooks)


def _with_place(hook: HookState, text: str) -> str:
    return f"{hook.at}: {text}" if hook.at else text


def _ago(at: float, now: float) -> str:
    return f"{rough_duration(now - at)} ago"


def rejection_text(request: local_requests.RequestEntry) -> str:
    """Return the code and the detail, without the names of the headers."""
    detail = request.detail.partition(local_requests.HEADERS)[0]
    if len(detail) > _MAX_DETAIL_CHARACTERS:
        detail = f"{detail[:_MAX_DETAIL_CHARACTERS].rpartition(' ')[0]} …"
    return ": ".join(filter(None, (f"{request.status} {request.code or ''}".strip(), detail)))


# Facts


def read_facts(
    reader: journal_view.JournalView, receive: JsonObject, silences: Mapping[str, float], outside: Outside
) -> Iterator[SourceFacts]:
    """Yield the facts about each source of receive's slice. `silences`: by source, the seconds of its `silence`."""
    for name, source in mapping_at(receive, "sources").items():
        events = reader.events(journal_view.EventQuery(source=name, limit=SAMPLED_EVENTS)).events
        usual, overdue = intervals(events)
        logged = [each for each in outside.rejected if each.source == name]
        # Read for each source: of all together, those to paths without a source may be the newest thousands.
        rejected = max([*logged, *reader.rejected(1, source=name)], key=lambda each: each.at, default=None)
        yield SourceFacts(
            source=name,
            registration=outside.registrations.get(name),
            secret_set_at=oldest_secret(source, outside.secrets),
            last_at=events[0].received_at if events else None,
            last_new_at=next((each.received_at for each in events if each.status != "duplicate"), None),
            usual_seconds=usual,
            overdue_seconds=silences.get(name, overdue),
            rejected=rejected,
            sampled_at=tuple(each.received_at for each in events),
            is_last_missed=bool(value_at(source, "recover") and events) and _are_newest_missed(reader, events),
        )


def _are_newest_missed(reader: journal_view.JournalView, events: Sequence[journal_view.EventSummary]) -> bool:
    """Return whether the newest events were missed. One that came by itself shortly before may be newer than those."""
    since = events[0].received_at - RECOVERY_SECONDS
    return all(_was_missed(reader, each) for each in events[:MAX_READ] if each.received_at >= since)


def _was_missed(reader: journal_view.JournalView, event: journal_view.EventSummary) -> bool:
    if event.type in _NEVER_MISSED:
        return False
    record = reader.event(event.id)
    return record is not None and value_at(record.document, RECOVERED) is True


def intervals(events: Sequence[journal_view.EventSummary]) -> tuple[float | None, float | None]:
    """Return the median interval between events, and the time without an event after which the source is overdue.

    Both are in seconds, and None if there are too few events.
    """
    received = sorted(each.received_at for each in events)
    gaps = [later - earlier for earlier, later in pairwise(received)]
    if len(gaps) < LEAST_GAPS:
        return None, None
    return median(gaps), max(retention.DAY_SECONDS, LONGEST_GAPS * max(gaps))


def oldest_secret(source: Json, secrets: Mapping[str, float | None]) -> float | None:
    """Return when the oldest of the source's secrets was set; None if that is known of none."""
    known = [set_at for name in auth_secret_names(source) if (set_at := secrets.get(name)) is not None]
    return min(known, default=None)


def health_document(facts: SourceFacts, now: float, where: str = "") -> JsonObject:
    """Return the facts and the health as JSON."""
    health = judge(facts, now, where)
    rejected = facts.rejected
    registration = facts.registration
    hooks: list[Json] = [_hook_document(each) for each in facts.hooks]
    return {
        "source": facts.source,
        "health": health.word,
        "reason": health.reason,
        "command": health.command or None,
        "registered": registration.word if registration else None,
        "registration_unknown": (registration.unasked_reason or None) if registration else None,
        "hooks": hooks,
        "secret_set_at": times.time_text(facts.secret_set_at),
        "last_at": times.time_text(facts.last_at),
        "usual_seconds": facts.usual_seconds,
        "overdue": facts.is_overdue(now),
        "last_rejected": {"at": times.time_text(rejected.at), "reason": rejection_text(rejected)} if rejected else None,
    }


def _hook_document(hook: HookState) -> JsonObject:
    differences: list[Json] = list(hook.differences)
    return {
        "at": hook.at,
        "state": hook.state,
        "differences": differences,
        "report": hook.report or None,
        "reported_at": times.time_text(hook.reported_at),
        "expires_at": times.time_text(hook.expires_at),
    }
