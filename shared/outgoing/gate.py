"""The gate of a process: which work may begin, so that no receiver and no sender takes all of its places.

The bus gives a process only so many messages at once. These are its places, and a message that is not acknowledged
holds one. If attempts at a receiver that hangs held all of them, the messages of everybody else would wait in the bus,
where the process cannot see them. So the gate keeps places free:

    a lane    is whom the work calls: a destination, an endpoint or a host. Its answers show whether it is healthy
    a group   is whom the work is for: what a source sends to a destination, a key of `per`, or a tenant

Work for a healthy lane may begin while its group has fewer places than four times those that are free. So a group alone
gets 4/5 of all places, two groups get 4/9 each, and any number of groups leaves a place free. The rule is the dynamic
threshold of shared-memory switches, which needs no list of who is waiting. (Choudhury and Hahne, "Dynamic queue length
thresholds", IEEE/ACM Transactions on Networking, 1998.) Lanes that are not known to be healthy share a fifth of the
places. While messages wait in the bus, the group that brought most of them gets hardly any place, until they are here.

Times are those of the caller's clock, in seconds. The gate writes nothing, and runs on one event loop.

A circuit breaker's state (`Circuit`) stops a receiver's work for a while after several failures in a row:

    closed      everything is tried; failures in a row open it
    open        nothing is tried. Each pause is twice as long as the one before, up to a limit
    half open   after the pause one thing at a time is tried: its success closes the breaker, its failure opens it
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

LEAST_PLACES: Final = 4
"""The bus gives at least so many messages at once, however often it was answered that one is to come again."""
PLACES_PER_FREE_PLACE: Final = 4.0
"""A group may have so many times the places that are free: alone, 4/5 of all."""
UNPROVEN_DIVISOR: Final = 5
"""Lanes that have not answered yet, or hang or fail, share a fifth of the places; alone, one gets half of that."""
NEW_WORK_PART: Final = 0.5
"""While earlier work of a group is due back, its new work gets only this part of the group's places."""

SLOW_SECONDS: Final = 1.0
"""A lane is in trouble while an attempt takes longer than this and longer than SLOW_FACTOR times its usual duration."""
SLOW_FACTOR: Final = 3
NEW_SECONDS: Final = 2.0
"""A lane that has not answered yet is in trouble once its first attempt takes longer than this."""
HANGING_SECONDS: Final = 5.0
"""An attempt hangs if it takes longer than this and longer than HANGING_FACTOR times the lane's usual duration."""
HANGING_FACTOR: Final = 10
HANGING_ANSWERS: Final = 5
"""A lane with fewer answers has no usual duration."""
KEPT_DURATIONS: Final = 20

HOLD_SECONDS: Final = 0.25
"""How long work waits in the process for a place of its lane, which holds one of the free places meanwhile."""
ALONE_SECONDS: Final = 10.0
"""How long it waits there while no neighbour needs the free places: less than the bus waits for an answer."""
QUEUED_SECONDS: Final = 0.35
"""A message that waited longer than this in the bus shows that others wait too."""
QUEUE_OVER_SECONDS: Final = 0.1
"""A message that waited less than this shows that they are here."""
QUEUE_SHOWN_SECONDS: Final = 1.0
"""How long a queue is assumed after the last message that showed it."""
SPACING_WEIGHT: Final = 0.1
"""Of the newest interval in the average of a group's intervals."""
MIN_WAIT_SECONDS: Final = 1.0
MAX_WAIT_SECONDS: Final = 300.0
"""Work that has no place comes back after a time within these bounds."""
NEIGHBOR_SECONDS: Final = 60.0
"""How long a group counts as a neighbour after its last work."""
HEAVY: Final = 4
"""A group with fewer places never has to wait for others."""
HEAVY_LOAD: Final = 200.0
HEAVY_SHARE: Final = 1 / 3
"""While messages wait in the bus, a group gets no more than HEAVY places if it brought both so many of the recent
messages and such a share of them. A group that sends less did not cause the queue."""
LOAD_SECONDS: Final = 10.0
"""Recent work is that of about so many seconds: older work counts less and less."""
MAX_REMEMBERED: Final = 10_000

Health: TypeAlias = Literal["healthy", "new", "troubled"]


class Turn(NamedTuple):
    """The answer to work that may not begin: it comes back at the time `at`. `health` is that of its lane."""

    at: float
    health: Health


@dataclass(slots=True)
class _Lane:
    """One receiver.

    places          how many its work has
    began           the attempts under way and when they began, the oldest first
    durations       of the last attempts that it answered
    is_failing      whether the last attempt failed
    failed_seconds  how long it took then
    hanging         the attempts under way that were reported as hanging
    """

    places: int = 0
    began: dict[str, float] = field(default_factory=dict)
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_DURATIONS))
    is_failing: bool = False
    failed_seconds: float = 0.0
    hanging: set[str] = field(default_factory=set)

    def age(self, now: float) -> float:
        """Return how long the oldest attempt has been under way."""
        return now - next(iter(self.began.values()), now)

    def health(self, now: float) -> Health:
        age = self.age(now)
        if not self.durations:
            return "troubled" if self.is_failing or age > NEW_SECONDS else "new"
        is_late = age > SLOW_SECONDS and age > SLOW_FACTOR * self.usual_seconds()
        return "troubled" if self.is_failing or is_late else "healthy"

    def newly_hanging(self, now: float) -> list[str]:
        if len(self.durations) < HANGING_ANSWERS or self.age(now) <= HANGING_SECONDS:
            return []
        limit = max(HANGING_SECONDS, HANGING_FACTOR * self.usual_seconds())
        found = [key for key, at in self.began.items() if now - at > limit and key not in self.hanging]
        self.hanging.update(found)
        return found

    def usual_seconds(self) -> float:
        """Return the median of the last durations; 0 without any."""
        return sorted(self.durations)[len(self.durations) // 2] if self.durations else 0.0


@dataclass(slots=True)
class Load:
    """A count of recent work, in which the work of LOAD_SECONDS ago counts 1/e."""

    count: float = 0.0
    counted_at: float = 0.0

    def at(self, now: float) -> float:
        return self.count * exp(-max(0.0, now - self.counted_at) / LOAD_SECONDS)

    def add(self, now: float) -> None:
        self.count, self.counted_at = self.at(now) + 1, now


@dataclass(slots=True)
class _Group:
    """A group of keys whose work shares places.

    lane       the receiver of its last work
    next_at    the time up to which work that comes back has its turns
    spacing    the usual seconds from the end of one work to that of the next; 0 if it is not known
    ended_at   the time at which its last work ended
    load       its work that came for the first time
    used_at    the time at which work of it came last
    held       its work that waits in the process, the longest first
    """

    lane: _Lane
    places: int = 0
    next_at: float = 0.0
    spacing: float = 0.0
    ended_at: float = 0.0
    used_at: float = 0.0
    load: Load = field(default_factory=Load)
    held: deque[asyncio.Future[None]] = field(default_factory=deque)

    def note_end(self, now: float) -> None:
        interval = min(max(0.0, now - self.ended_at), MIN_WAIT_SECONDS)
        self.spacing = interval if not self.spacing else self.spacing + SPACING_WEIGHT * (interval - self.spacing)
        self.ended_at = now


_Remembered = TypeVar("_Remembered", _Lane, _Group)


class ProcessGate:
    """`most` is the number of places, `first` how many of them the bus uses at first: it gives more while work ends."""

    def __init__(self, now: Callable[[], float], most: int, first: int) -> None:
        self._now = now
        self._most = most
        self._places = first
        self._work: dict[str, tuple[_Lane, _Group]] = {}
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._load = Load()
        self._held = 0
        self._queued_until = 0.0
        self.queue_seen_at = 0.0

    async def enter(self, key: str, lane_name: str, group_name: str, turns: int = 0) -> Turn | None:
        """Give the work `key` a place and return None, or return when to come back. What has a place calls `leave`.

        `turns` counts how often it came back. Work of a healthy lane may wait here for a place: see HOLD_SECONDS and
        ALONE_SECONDS.
        """
        lane = self._lane(lane_name)
        group = self._group(group_name, lane)
        if not turns:
            now = self._now()
            group.load.add(now)
            self._load.add(now)
        if not self._has_place(lane, group, turns) and not await self._wait(lane, group, turns):
            return self._turn(lane, group, turns)
        self._work[key] = lane, group
        lane.places += 1
        group.places += 1
        return None

    def begin(self, key: str) -> None:
        """Note that the attempt at the receiver begins now."""
        lane, _ = self._work[key]
        lane.began[key] = self._now()

    def leave(self, key: str, *, has_failed: bool | None = None) -> None:
        """End the work. `has_failed`: whether the receiver failed; None where it was not asked."""
        lane, group = self._work.pop(key)
        lane.places -= 1
        group.places -= 1
        began_at = lane.began.pop(key, None)
        lane.hanging.discard(key)
        if has_failed is not None and began_at is not None:
            now = self._now()
            lane.is_failing = has_failed
            lane.failed_seconds = now - began_at
            group.note_end(now)
            if not has_failed:
                lane.durations.append(now - began_at)
                if self._queued_until <= now:
                    group.next_at = 0.0
        while group.held:
            freed = group.held.popleft()
            if not freed.done():
                freed.set_result(None)
                break

    def note_arrival(self, waited_seconds: float) -> None:
        """Note how long a new message waited in the bus."""
        if waited_seconds < QUEUE_OVER_SECONDS:
            self._queued_until = 0.0
        elif waited_seconds > QUEUED_SECONDS or (self._queued_until and waited_seconds > QUEUE_OVER_SECONDS):
            self.queue_seen_at = self._now()
            self._queued_until = self.queue_seen_at + QUEUE_SHOWN_SECONDS

    def note_answer(self, *, is_acknowledged: bool) -> None:
        """Note what the bus was answered: it gives more messages at once after each one that is acknowledged, and
        half as many after one that is not. https://cloud.google.com/pubsub/docs/push#push_backoff
        """
        self._places = min(self._most, self._places + 1) if is_acknowledged else max(LEAST_PLACES, self._places // 2)

    def health(self, lane_name: str) -> Health:
        """Return what this process knows of the receiver from its own attempts."""
        lane = self._lanes.get(lane_name)
        return lane.health(self._now()) if lane else "new"

    def is_answering(self, lane_name: str) -> bool:
        """Return whether the receiver is healthy, or fails at once, so that its work holds no place for long."""
        lane, now = self._lanes.get(lane_name), self._now()
        if lane is None or lane.health(now) == "healthy":
            return lane is not None
        return lane.is_failing and max(lane.failed_seconds, lane.age(now)) < SLOW_SECONDS

    def usual_seconds(self, lane_name: str) -> float:
        """Return how long the receiver usually takes to answer; 0 if it is not known."""
        lane = self._lanes.get(lane_name)
        return lane.usual_seconds() if lane else 0.0

    def hanging(self, lane_name: str) -> Sequence[str]:
        """Return the attempts under way that hang, each of them once."""
        lane = self._lanes.get(lane_name)
        return lane.newly_hanging(self._now()) if lane and lane.began else ()

    def is_known_to_hang(self, lane_name: str, key: str) -> bool:
        """Return whether `hanging` returned this attempt, which is still under way."""
        lane = self._lanes.get(lane_name)
        return lane is not None and key in lane.hanging

    def _has_place(self, lane: _Lane, group: _Group, turns: int) -> bool:
        used = len(self._work)
        if not self._queued_until and 10 * used + 5 <= self._places:  # then any lane may begin, whatever its health
            return True
        # The bus gives as many messages at once as are here, and this one: there are no fewer places.
        places = min(max(self._places, used + self._held + 1), self._most)
        free = max(1, places - used)
        now = self._now()
        health = lane.health(now)
        if health != "healthy":
            # A new process knows no lane, so the first work of each begins.
            is_first = health == "new" and not lane.places and not group.places and free > 1
            others = sum([each.health(now) != "healthy" for each, _ in self._work.values()])
            room = max(1.0, places / UNPROVEN_DIVISOR) - others
            return is_first or max(group.places, lane.places) + 1 <= room
        if self._queued_until > now and self._is_heavy(group, now) and self._has_quiet_neighbor(group):
            return False  # who sends most waits, until the messages of all are here
        share = PLACES_PER_FREE_PLACE if turns or group.next_at <= now else PLACES_PER_FREE_PLACE * NEW_WORK_PART
        return group.places + 1 <= share * free

    def _is_heavy(self, group: _Group, now: float) -> bool:
        least = max(HEAVY_LOAD, HEAVY_SHARE * self._load.at(now))
        return group.places >= HEAVY and group.load.at(now) >= least

    async def _wait(self, lane: _Lane, group: _Group, turns: int) -> bool:
        """Wait in the process for a place. Return False where the work has to come back.

        While half of the places are free, work waits until a new lane answers for the first time.
        """
        loop = asyncio.get_running_loop()
        began_at, was_woken = loop.time(), False
        has_room = 2 * (len(self._work) + self._held) <= self._places
        hold_seconds = HOLD_SECONDS if lane.durations or not has_room else NEW_SECONDS
        while lane.health(self._now()) != "troubled":
            is_alone = lane.durations and not self._has_quiet_neighbor(group)
            most_seconds = ALONE_SECONDS if is_alone else 0.0 if self._queued_until > self._now() else hold_seconds
            if loop.time() - began_at >= most_seconds:
                return False
            freed: asyncio.Future[None] = loop.create_future()
            add = group.held.appendleft if was_woken else group.held.append  # first come, first served
            add(freed)
            self._held += 1
            try:
                await asyncio.wait({freed}, timeout=HOLD_SECONDS)  # work of another group may end meanwhile
            finally:
                self._held -= 1
                with contextlib.suppress(ValueError):
                    group.held.remove(freed)
            was_woken = freed.done()
            if self._has_place(lane, group, turns):
                return True
        return False

    def _turn(self, lane: _Lane, group: _Group, turns: int) -> Turn:
        """Return the time at which a place is free, behind the work of the group that has a turn already.

        What came back in vain waits twice as long, so that a flood costs little more than the work that gets done.
        """
        now = self._now()
        seconds = max(lane.usual_seconds() or SLOW_SECONDS, lane.age(now))
        spacing = seconds / max(1, group.places)
        after = group.next_at + (min(spacing, group.spacing) if group.spacing else spacing)
        least = MIN_WAIT_SECONDS * 2 ** min(turns, 6)
        group.next_at = min(max(now + least, after), now + MAX_WAIT_SECONDS)
        return Turn(group.next_at, lane.health(now))

    def _has_quiet_neighbor(self, group: _Group) -> bool:
        """Return whether somebody who sends little may wait in the bus: a group that was here, and has few places.

        One whose receiver is in trouble waits for that receiver.
        """
        now = self._now()
        for other in reversed(self._groups.values()):
            if other.used_at < now - NEIGHBOR_SECONDS:
                return False
            if other is not group and other.places < HEAVY and other.lane.health(now) == "healthy":
                return True
        return False

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane()
            _forget_one(self._lanes)
        self._lanes.move_to_end(name)
        return lane

    def _group(self, name: str, lane: _Lane) -> _Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(lane)
            _forget_one(self._groups)
        group.lane = lane
        group.used_at = self._now()
        self._groups.move_to_end(name)
        return group


def _forget_one(remembered: OrderedDict[str, _Remembered]) -> None:
    """Forget the name that was used longest ago, if there are too many. One that has places is in use, and stays."""
    if len(remembered) > MAX_REMEMBERED:
        name, oldest = next(iter(remembered.items()))
        if oldest.places:
            remembered.move_to_end(name)
        else:
            del remembered[name]


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """`failures` in a row open the circuit breaker, for `pause_seconds` at first and at most `max_pause_seconds`."""

    failures: int
    pause_seconds: float
    max_pause_seconds: float


class Circuit(NamedTuple):
    """A breaker's state in this instance. `pause_seconds` is the length of the last pause; 0 for a closed breaker."""

    failures: int = 0
    pause_seconds: float = 0.0
    open_until: float = 0.0

    def is_half_open(self, now: float) -> bool:
        return self.pause_seconds > 0 and self.open_until <= now


CLOSED: Final = Circuit()


def after_attempt(circuit: Circuit, settings: BreakerSettings, now: float, *, has_failed: bool) -> Circuit:
    """Return the circuit after an attempt. What was under way when it opened says nothing new."""
    if circuit.open_until > now:
        return circuit
    if not has_failed:
        return Circuit(open_until=circuit.open_until) if circuit.failures or circuit.pause_seconds else circuit
    if circuit.pause_seconds:
        pause = min(circuit.pause_seconds * 2, settings.max_pause_seconds)
    elif circuit.failures + 1 < settings.failures:
        return circuit._replace(failures=circuit.failures + 1)
    else:
        pause = settings.pause_seconds
    return Circuit(0, pause, now + pause)
