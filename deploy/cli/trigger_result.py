"""Print the result of `hookchain trigger`: the response, and what the journal has about the event."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.cli import send
from deploy.cli.command import DONE, NOT_DONE
from deploy.client.hookchain import http
from deploy.client.hookchain.outcome import Outcome
from deploy.config.running_dev import start_command
from deploy.config.sections import catalogue_pages
from deploy.history import journal_view, local_requests
from deploy.history.local import open_local_state, running_ports
from deploy.history.state import State, StateFault
from deploy.requests import samples, signed_samples, trigger_target
from deploy.terminal.output import clock, count_of, printable
from shared import jsontext, ledger, outcomes

WAIT_SECONDS: Final = 5.0
"""The longest time that the command waits for the result of the sample, on this machine."""
MAX_EVENTS: Final = 10
"""The most events, or rejected requests, among which those of the sample are searched for."""
_POLL_SECONDS: Final = 0.1
_SHOWN_STATUSES: Final[frozenset[outcomes.EventStatus]] = frozenset(
    {"no_route", "filtered", "duplicate", "delivered", "merged", "dead_lettered", "waiting", "retry_scheduled", "held"}
)
"""The statuses of an event at which the command stops waiting: no attempt or step is under way."""


@dataclass(frozen=True, slots=True)
class SentSample:
    """A sample that was sent, and what came of it.

    broken_part   the part of the request that was wrong; None if it was right
    is_elsewhere  the user chose the URL, so no journal on this machine has the event
    sent_at       Unix seconds
    state_folder  that of `hookchain dev`
    """

    target: trigger_target.TriggerTarget
    sample: samples.Sample
    broken_part: signed_samples.Break | None
    is_elsewhere: bool
    sent_at: float
    answer: http.Response | http.NoResponse
    outcome: Outcome
    state_folder: Path

    @property
    def is_rejected(self) -> bool:
        return self.outcome.status is not None and 400 <= self.outcome.status < 500

    @property
    def is_as_expected(self) -> bool:
        """Return whether a right sample was accepted, or a broken one rejected."""
        return self.is_rejected if self.broken_part else self.outcome.ok


def print_result(sent: SentSample, *, as_json: bool) -> int:
    """Print the result, and return the exit code: DONE if it is as expected."""
    target, outcome = sent.target, sent.outcome
    if as_json:
        fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "message")}
        print(jsontext.to_json({"provider": target.provider, "event": sent.sample.event, "url": target.url, **fields}))
    else:
        _print_text(sent)
    return DONE if sent.is_as_expected else NOT_DONE


def _print_text(sent: SentSample) -> None:
    target = sent.target
    broken = f", {sent.broken_part} broken" if sent.broken_part else ""
    print(f"{target.entry.name}, {sent.sample.event}{broken}, to {printable(target.url)}")
    needs_start = not sent.is_elsewhere and isinstance(sent.answer, http.NoResponse)
    start = f"; start `{start_command(sent.state_folder)}`" if needs_start else ""
    print(f"  {printable(_result_text(sent))}{start}{_verdict(sent)}")
    note = send.wrong_port_note(target.url, sent.outcome, sent.state_folder)
    if note:
        print(f"  {note}")
    elif not sent.is_elsewhere:
        for line in _journal_lines(sent):
            print(f"  {printable(line)}")


def _result_text(sent: SentSample) -> str:
    """Return the outcome; for a handshake that succeeded, the reply, which the provider would compare."""
    answer = sent.answer
    if sent.sample.is_handshake and sent.outcome.ok and isinstance(answer, http.Response):
        return f"answered ({answer.status}): {answer.body.decode('utf-8', 'replace')[:200]}"
    return sent.outcome.message


def _verdict(sent: SentSample) -> str:
    """Return whether a broken sample was rejected as it should; empty for one that is right."""
    if sent.broken_part is None:
        return ""
    if sent.is_rejected:
        return ", as expected"
    if sent.outcome.ok:
        return "; IT SHOULD HAVE BEEN REJECTED"
    has_no_key = sent.outcome.status == 503 and catalogue_pages.uses_provider_keys(sent.target.entry)
    key = ": the provider's public key cannot be fetched" if has_no_key else ""
    return f"; neither accepted nor rejected{key}"


def _journal_lines(sent: SentSample) -> list[str]:
    """Return what the journal has about the event: its deliveries, or why the request was rejected."""
    if sent.outcome.ok:
        return (
            [] if sent.sample.is_handshake else _wait_for(sent.state_folder, lambda state: _look_at_events(sent, state))
        )
    if sent.outcome.status is None:  # there was no response
        return []
    lines = _why_rejected(sent)
    if sent.broken_part:
        lines.append("`hookchain status` calls the source failing until its next event is accepted")
    return lines


def _why_rejected(sent: SentSample) -> list[str]:
    """Return receive's diagnosis, or the finding of its check if it made none."""
    if running_ports(sent.state_folder) is None:
        command = start_command(sent.state_folder)
        found = f"no `{command}` runs with {sent.state_folder}, so another program answered"
        return [f"why: {found}. Set HOOKCHAIN_STATE and PORT_BASE as for the `{command}` that you mean"]
    return _wait_for(sent.state_folder, lambda state: _look_at_rejections(sent, state))


class Look(NamedTuple):
    """The lines to print by what the journal has now. Unless they are final, a later look may have more."""

    lines: list[str]
    is_final: bool


def _wait_for(state_folder: Path, look: Callable[[State], Look]) -> list[str]:
    """Return the lines once they are final, or after WAIT_SECONDS; none if no `hookchain dev` runs."""
    deadline = time.monotonic() + WAIT_SECONDS
    while running_ports(state_folder) is not None:
        try:
            with open_local_state(state_folder) as state:
                seen = look(state)
        except StateFault:
            return []
        if seen.is_final or time.monotonic() > deadline:
            return seen.lines
        time.sleep(_POLL_SECONDS)
    return []


def _look_at_events(sent: SentSample, state: State) -> Look:
    """Return the lines about the events of the sample, which are final once each has one of _SHOWN_STATUSES.

    Without an id in the reply, these are the source's events since the request was sent.
    """
    if sent.outcome.event_id:
        ids = [sent.outcome.event_id]
    else:
        source = sent.target.source.name
        page = state.reader.events(journal_view.EventQuery(source=source, since=sent.sent_at, limit=MAX_EVENTS))
        ids = [event.id for event in reversed(page.events)]
    lines: list[str] = []
    records = [(event_id, state.reader.event(event_id)) for event_id in ids]
    for event_id, record in records:
        lines += _event_lines(event_id, record, state) if record else []
    is_final = bool(ids) and all(record and record.summary.status in _SHOWN_STATUSES for _, record in records)
    return Look(lines, is_final)


def _event_lines(event_id: str, record: journal_view.EventRecord, state: State) -> Iterator[str]:
    yield f"{record.summary.type} {event_id[:8]}: {record.summary.status}"
    yield from (f"  route {each.route!r}: {each.outcome}: {each.reason}" for each in record.routes)
    if record.other_routes:
        others = count_of(record.other_routes, "other route")
        yield f"  {others} did not match: `hookchain events show {event_id[:8]}` prints why"
    yield from (f"  to {row.destination}: {_state_text(row)}" for row in state.deliveries(event_id))


def _state_text(row: ledger.LedgerRow) -> str:
    """Return the state of a delivery with its reason. In a group, it waits until the group is sent."""
    if row.group and row.retry_at is not None:
        return f"waits until {clock(row.retry_at)}: {row.reason}"
    reason = f": {row.reason}" if row.reason and row.state != "delivered" else ""
    return f"{row.state}{reason}"


def why_of(detail: str) -> str:
    """Return the diagnosis in a rejection's detail, else the finding of its check."""
    finding, _, why = detail.partition(local_requests.HEADERS)[0].partition(local_requests.WHY)
    return why or finding


def _look_at_rejections(sent: SentSample, state: State) -> Look:
    """Return the reason of the source's newest rejection since the request was sent. It is final once there is one."""
    for request in state.reader.rejected(MAX_EVENTS):
        if request.source == sent.target.source.name and request.at >= sent.sent_at:
            return Look([f"why: {why_of(request.detail)}"], is_final=True)
    return Look([], is_final=False)
