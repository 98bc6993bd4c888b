"""When a delivery would go out, in words: what its group, its destination's state and the rate make it wait for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from functions.notify.digests import arrival, settings as gathering
from functions.notify.recipients.people import Person
from functions.notify.registry import Configured
from shared import times
from shared.delivery import Delivery, delivery_message
from shared.event import event_json
from shared.ledger import DestinationState

MAX_KEY_CHARACTERS: Final = 40
"""The characters of a group's key that are shown."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing of a delivery that comes at `now`, in Unix seconds.

    `person` is the recipient, whose timezone counts; None if there is none, or if a list at a URL names them.
    """

    delivery: Delivery
    configured: Configured
    person: Person | None
    now: float

    def text(self, state: DestinationState) -> str:
        """Return when the delivery would go out and why not now; empty where it would go out at once."""
        return "; ".join((*self._gathering(), *self._state(state), *self._rate()))

    @property
    def _timezone(self) -> str | None:
        return self.person.timezone if self.person else None

    def _gathering(self) -> Iterator[str]:
        """Yield what follows from the settings by which the destination gathers deliveries, if it does."""
        settings = self.configured.gather
        until = gathering.gathered_until(settings, self.now, self._timezone) if settings else None
        if settings is None or until is None:
            return
        hours = settings.quiet_hours
        hours_end = gathering.quiet_end(hours, self.now, self._timezone) if hours else None
        if hours_end is not None and self.configured.has_expired(self.delivery.event, hours_end):
            yield "never: it expires before the quiet hours end"
        elif not (reason := self._reason_to_go_alone(settings)):
            yield f"not now: it waits{self._others(settings)} {self._end_of_wait(settings, until)}"
        elif hours is not None and hours_end is not None:
            yield f"not now: it waits until {self._quiet_hours_end(hours, hours_end)}, and goes out by itself: {reason}"
        else:
            yield f"now, by itself: {reason}"

    def _reason_to_go_alone(self, settings: gathering.GatherSettings) -> str:
        """Return why the delivery does not wait for others; empty if it does."""
        message = delivery_message(self.delivery, event_json(self.delivery.event), times.rfc3339(self.now), {}).data
        if not arrival.can_be_gathered(self.delivery, message):
            return f"with over {gathering.MAX_MESSAGE_BYTES // 1_000} KB it waits for no others"
        if arrival.wait_in_group(self.configured, self.delivery, self.now, self.person) is not None:
            return ""
        coalesce = settings.coalesce
        if coalesce is not None and gathering.key_of(coalesce.by, self.delivery.event) is None:
            return f"it has no key at `{coalesce.by}`"
        return "it would expire before it is gathered"

    def _end_of_wait(self, settings: gathering.GatherSettings, until: float) -> str:
        """Return until when the delivery waits in its group, beginning with a preposition.

        `until` does not say whether the quiet hours end the wait, so the wait without them is computed. It depends on
        no timezone.
        """
        hours = settings.quiet_hours
        without_hours = gathering.gathered_until(settings._replace(quiet_hours=None), self.now)
        end_without_hours = self.now if without_hours is None else without_hours
        if hours is not None and gathering.quiet_end(hours, end_without_hours, self._timezone) == until:
            return f"until {self._quiet_hours_end(hours, until)}"
        if settings.coalesce is not None:
            wait = times.duration_text(settings.coalesce.wait_seconds)
            longest = times.duration_text(settings.coalesce.max_wait_seconds)
            end = self._moment(until, self._timezone)
            return f"until none came for {wait}, for {longest} at most; if none comes, until {end}"
        return f"for the digest at {self._moment(until, (hours and hours.timezone) or self._timezone)}"

    def _others(self, settings: gathering.GatherSettings) -> str:
        key = gathering.key_of(settings.by, self.delivery.event)
        names = [f"for {self.person.name}"] if self.person else []
        if key is not None:
            names.append(f"with the key {key[:MAX_KEY_CHARACTERS]!r}")
        kind = "the further events" if settings.coalesce else "the other events"
        return f", with {kind} {' and '.join(names)}," if names else f", with {kind},"

    def _state(self, state: DestinationState) -> Iterator[str]:
        if state.disabled_reason is not None:
            yield f"held here until `hookchain resume {self.configured.name}`: {state.disabled_reason}"
        elif state.paused_until is not None and state.paused_until > self.now:
            yield f"the destination is paused here until {self._moment(state.paused_until, self._timezone)}"

    def _rate(self) -> Iterator[str]:
        configured = self.configured
        if configured.rate is None:
            return
        count, seconds = configured.rate
        is_gathered = configured.gather is not None and configured.gather.is_rated
        over = "waits for a digest" if is_gathered else "waits for its turn"
        yield f"at most {count:,} in {times.duration_text(seconds)} go out; what is over that {over}"

    def _quiet_hours_end(self, hours: gathering.QuietHours, end: float) -> str:
        begin_text, end_text = (f"{minute // 60:02}:{minute % 60:02}" for minute in (hours.begin, hours.end))
        moment = self._moment(end, hours.timezone or self._timezone)
        return f"the quiet hours, {begin_text} to {end_text}, end at {moment}"

    def _moment(self, at: float, timezone: str | None) -> str:
        """Return `07:00 on 27 Nov (Europe/Berlin)`, without the day where it is today there."""
        zone = gathering.zone_of(timezone)
        wall, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(self.now, zone).date()
        clock = wall.strftime("%H:%M:%S").removesuffix(":00")
        day = "" if wall.date() == today else f" on {wall.day} {wall:%b}"
        return f"{clock}{day} ({zone.key})"
