"""The gate of a process: which work may begin, so that no receiver and no sender takes all of its places.

The bus gives a process only so many messages at once. These are its places, and a message that is not acknowledged
holds one. If attempts at a receiver that hangs held all of them, the messages of everybody else would wait in the bus,
where the process cannot see them. So the gate keeps places free:

    a lane    is whom the work calls: a destination, an endpoint or a host. Its answers show whether it is healthy
    a group   is whom the work is for: what a source sends to a destination, a key of `per`, or a tenant

Work for a healthy lane may begin while its group has fewer places than four times those that are free. So a group alone
gets 4/5 of all places, two groups get 4/9 each, and any number of groups leaves a place free. The rule is the dynamic
threshold of shared-memory switches, which needs no list of who is waiting. (Choudhury and Hahne, "Dynamic queue length
thresholds", IEEE/ACM Transactions on Networking, 1998.) The first work for each new lane may begin while its group has
fewer places than half of those that are free. Other work for lanes that are not known to be healthy shares a fifth of
the places. While messages wait in the bus, the group that sent most of the recent messages gets only a few places, so
that the messages of the other groups arrive.

Times are those of a clock that nobody sets, such as `time.monotonic`, in seconds: with the time of day, work came back
minutes late after the clock was set back. The age of an attempt counts only while the event loop turned: while the
process computes, it reads no answer. The gate writes nothing, and runs on one event loop.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, inf
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from shared.outgoing.loop_time import LoopTime

Health: TypeAlias = Literal["healthy", "new", "troubled"]


class Admitted:
    """The answer to work that may begin."""


ADMITTED: Final = Admitted()


class ComeBack(NamedTuple):
    """The answer to work that may not begin: it comes back in `seconds`. `health` is the health of its lane."""

    seconds: float
    health: Health


# The health of a lane
SLOW_SECONDS: Final = 1.0
"""A lane is in trouble while an attempt takes longer than this and longer than SLOW_FACTOR times its usual duration.
If shorter, a healthy lane loses its places for a short delay; if longer, a lane that hangs keeps them for longer."""
SLOW_FACTOR: Final = 3
"""Times the usual duration: see SLOW_SECONDS. If larger, a lane that is usually slow is noticed later when it hangs."""
NEW_SECONDS: Final = 2.0
"""A lane that has not answered yet is in trouble once its first attempt takes longer than this. Its other work may wait
in the process for the same time. If longer, first attempts that hang hold places for longer. If shorter, a receiver
that starts slowly is mistaken for a receiver that hangs."""
HANGING_SECONDS: Final = 5.0
"""An attempt hangs if it takes longer than this and longer than HANGING_FACTOR times the lane's usual duration. If
shorter, slow attempts are reported, too."""
HANGING_FACTOR: Final = 10
"""Times the usual duration: see HANGING_SECONDS. If smaller, slow attempts are reported, too."""
HANGING_ANSWERS: Final = 5
"""A lane with fewer answers has no usual duration, so none of its attempts is reported as hanging. If larger, a hanging
attempt at a new receiver goes unreported for longer."""
SHORT_COMPUTING_SECONDS: Final = 0.01
"""An attempt that computes for no longer does not wait for the computations of others. If longer, many of them together
delay the answers to all."""
COMPUTING_TURN_SECONDS: Final = 5.0
"""How long an attempt waits for the computations of others. If longer, its lease may end meanwhile."""
KEPT_DURATIONS: Final = 20
"""The usual duration is the median of this many answers. If larger, it follows a receiver's change more slowly."""


@dataclass(slots=True)
class _Lane:
    """One receiver.

    loop_now        the clock of attempts
    used_places     how many places its work has
    began           the attempts under way and when they began, the oldest first
    durations       of the last attempts that it answered
    is_failing      whether the last attempt failed
    failed_seconds  how long it took then
    hanging         the attempts under way that `report_hanging` returned
    computing_seconds  how long the last attempt computed before it called the receiver
    """

    loop_now: Callable[[], float]
    used_places: int = 0
    began: dict[str, float] = field(default_factory=dict)
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_DURATIONS))
    is_failing: bool = False
    failed_seconds: float = 0.0
    hanging: set[str] = field(default_factory=set)
    computing_seconds: float = inf

    def age(self) -> float:
        """Return how long the oldest attempt has been under way."""
        return self.loop_now() - next(iter(self.began.values())) if self.began else 0.0

    def health(self) -> Health:
        """Return what the last answers show, and the oldest attempt that has no answer yet."""
        if self.is_failing:
            return "troubled"
        age = self.age()
        if not self.durations:
            return "troubled" if age > NEW_SECONDS else "new"
        is_late = age > SLOW_SECONDS and age > SLOW_FACTOR * self.usual_seconds()
        return "troubled" if is_late else "healthy"

    def report_hanging(self) -> list[str]:
        """Return the attempts that hang and were not returned before. Remember them in `hanging`."""
        if len(self.durations) < HANGING_ANSWERS:
            return []
        limit_seconds = max(HANGING_SECONDS, HANGING_FACTOR * self.usual_seconds())
        now = self.loop_now()
        unreported = [key for key, at in self.began.items() if now - at > limit_seconds and key not in self.hanging]
        self.hanging.update(unreported)
        return unreported

    def usual_seconds(self) -> float:
        """Return the median of the last durations; 0 without any."""
        return sorted(self.durations)[len(self.durations) // 2] if self.durations else 0.0


# The recent work and the turns of a group
LOAD_SECONDS: Final = 10.0
"""Work that ended this many seconds ago counts 1/e in a load. If longer, a group counts as heavy for longer after its
flood."""
UNCOUNTED_SECONDS: Final = 0.1
"""Work that comes so soon after other work counts as if it came with it. If longer, the load is less exact; if shorter,
it is computed more often."""
SPACING_WEIGHT: Final = 0.1
"""The part of the newest interval in the average of a group's intervals. If larger, turns follow a receiver's change of
speed sooner, and single intervals move them more."""
MIN_WAIT_SECONDS: Final = 1.0
"""Work that has no place comes back no sooner than this, in seconds. If shorter, more of it comes back in vain."""
MAX_WAIT_SECONDS: Final = 300.0
"""Work that has no place comes back no later than this, in seconds. If longer, a long queue comes back less often in
vain, and its last work begins later where the receiver has become faster."""
MAX_WAIT_DOUBLINGS: Final = 6
"""Each return in vain doubles MIN_WAIT_SECONDS, at most this many times. If larger, a flood comes back less often, and
may find a free place later."""


@dataclass(slots=True)
class Load:
    """A count of recent work, in which the work of LOAD_SECONDS ago counts 1/e."""

    count: float = 0.0
    counted_at: float = 0.0

    def at(self, now: float) -> float:
        return self.count * exp(-max(0.0, now - self.counted_at) / LOAD_SECONDS)

    def add(self, now: float) -> None:
        if abs(now - self.counted_at) > UNCOUNTED_SECONDS:
            self.count = self.at(now)
            self.counted_at = now
        self.count += 1


@dataclass(slots=True)
class _Group:
    """A group of keys whose work shares places.

    lane             the receiver of its last work
    used_places      how many places its work has
    turns_until      the time up to which turns are given to work that comes back: the end of its queue. Work for
                     healthy lanes (True) has its own queue, so that it does not wait behind work for lanes that hang
    spacing_seconds  the usual time from the end of one work to that of the next; 0 if it is not known
    ended_at         the time at which its last work ended
    used_at          the time at which work of it came last
    load             its work that came for the first time
    waiting          its work that waits in the process, the longest first
    """

    lane: _Lane
    used_places: int = 0
    turns_until: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    spacing_seconds: float = 0.0
    ended_at: float = 0.0
    used_at: float = 0.0
    load: Load = field(default_factory=Load)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def note_end(self, now: float) -> None:
        """Count the interval since the last end in the usual one. A pause without work counts MIN_WAIT_SECONDS."""
        interval = min(max(0.0, now - self.ended_at), MIN_WAIT_SECONDS)
        if self.spacing_seconds == 0.0:
            self.spacing_seconds = interval
        else:
            self.spacing_seconds += SPACING_WEIGHT * (interval - self.spacing_seconds)
        self.ended_at = now

    def wake_first(self) -> None:
        """Let the work that has waited longest in the process look for a place again."""
        while self.waiting:
            freed = self.waiting.popleft()
            if not freed.done():
                freed.set_result(None)
                return


class _Work(NamedTuple):
    """Work that has a place."""

    lane: _Lane
    group: _Group


# The places
LEAST_PLACES: Final = 4
"""The bus gives at least this many messages at once, no matter how many messages were sent back to it. If larger than
what the bus gives, free places are counted that no message will fill."""
IDLE_DIVISOR: Final = 10
"""A process that uses less than this part of its places, a tenth, gives one to any work. If larger, lanes in trouble
get fewer places in a process that has little to do."""
UNPROVEN_DIVISOR: Final = 5
"""Lanes that have not answered yet, or hang or fail, share this part of the places, a fifth; alone, one gets half of
that. If larger, hanging receivers hold fewer places, and many new receivers take longer to become known."""
PLACES_PER_FREE_PLACE: Final = 4.0
"""A group may have this many times the number of free places. A group that is alone gets 4/5 of all places. If larger,
a group alone is faster, and the next group finds fewer free places."""
TURNS_DIVISOR: Final = 5
"""The work of a healthy lane comes back as if its group had at least this part of the places, a fifth. A heavy group
has only HEAVY_PLACES until the queue is over. If larger, its work returns at the pace of these few places even when
many are free; if smaller, more of it comes back in vain."""
NEW_WORK_PART: Final = 0.5
"""While earlier work of a group is due back, its new work gets only this part of the group's places. If larger, more of
the returned work finds no place and returns once more."""

# The queue in the bus, and who caused it
QUEUED_SECONDS: Final = 0.35
"""A message that waited longer than this in the bus shows that others wait too. If shorter, the usual delay of the bus
is taken for a queue, and heavy groups wait without need."""
QUEUE_OVER_SECONDS: Final = 0.1
"""A message that waited less than this shows that no others wait. If longer, a queue is taken to be over while some of
its messages still wait."""
QUEUE_SHOWN_SECONDS: Final = 1.0
"""How long a queue is assumed after the last message that showed it. If longer, heavy groups wait for longer after it;
if shorter, they take all places again between two messages of the queue."""
HEAVY_PLACES: Final = 4
"""A group with fewer places never has to wait for others. If larger, the group that caused a queue keeps more."""
HEAVY_LOAD: Final = 200.0
"""A group that brought fewer of the recent messages did not cause the queue, and does not wait for others. If smaller,
groups that send little wait, too."""
HEAVY_SHARE: Final = 1 / 3
"""A group that brought a smaller share of the recent messages did not cause the queue, either. If smaller, more groups
count as its cause."""
NEIGHBOR_SECONDS: Final = 60.0
"""How long a group counts as a neighbour after its last work. If longer, a heavy group leaves places free for longer to
groups that send nothing any more. If shorter, a group that sends little is forgotten between two of its messages. Each
of 20 instances gets one in 20, so a minute covers a group that sends one in 3 s."""

# The work that waits in the process
HOLD_SECONDS: Final = 0.25
"""How long work waits in the process for a place of its lane, which holds one of the free places meanwhile. If longer,
less work comes back through the bus, and more of the free places are taken by work that waits."""
ALONE_SECONDS: Final = 10.0
"""How long it waits there while no neighbour needs the free places. It has to be less than the bus waits for an answer:
otherwise the bus gives the same message again."""

MAX_REMEMBERED: Final = 10_000
"""Lanes, and groups, that are remembered. If smaller, the process uses less memory, and forgets the health of a lane
sooner where it calls more."""

_Remembered = TypeVar("_Remembered", _Lane, _Group)


class ProcessGate:
    """The places of a process, and the work that has them.

    `most` is the number of places, `first` how many of them the bus uses at first: it gives more while work ends.
    `loop_time` is None where the event loop always turns on time, as in a simulation.

    _bus_limit      how many messages the bus gives at once, as far as is known
    _work           the work that has a place, by key
    _lanes          by name, the last used at the end
    _groups         by name, the last used at the end
    _load           the work of all groups that came for the first time
    _waiting_count  how much work waits in the process
    _copies         how many messages wait here because another message has the same work under way
    _is_queue_over  no message has shown a queue in the bus, or a message that did not wait has come since
    _queued_until   the time until which messages are assumed to wait in the bus
    _queue_seen_at  when a message last showed that others wait there
    """

    def __init__(self, now: Callable[[], float], most: int, first: int, loop_time: LoopTime | None = None) -> None:
        self._now = now
        self._loop_time = loop_time
        self._loop_now = loop_time.now if loop_time else now
        self._most = most
        self._bus_limit = first
        self._work: dict[str, _Work] = {}
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._load = Load()
        self._waiting_count = 0
        self._copies = 0
        self._is_queue_over = True
        self._queued_until = -inf
        self._queue_seen_at = -inf

    async def enter(self, key: str, lane_name: str, group_name: str, return_count: int = 0) -> Admitted | ComeBack:
        """Give the work `key` a place until `leave` is called, or return when the work has to come back.

        No other work with the same key may be here.
        `return_count` is how often it came back before. Work of a healthy lane may wait here for a place: see
        HOLD_SECONDS and ALONE_SECONDS.
        """
        now = self._now()
        lane = _remembered(self._lanes, lane_name, lambda: _Lane(self._loop_now))
        group = _remembered(self._groups, group_name, lambda: _Group(lane))
        group.lane = lane
        group.used_at = now
        if return_count == 0:
            group.load.add(now)
            self._load.add(now)
        if not self._has_place(lane, group, return_count, now) and not await self._wait(lane, group, return_count):
            return self._come_back(lane, group, return_count)
        self._work[key] = _Work(lane, group)
        lane.used_places += 1
        group.used_places += 1
        if self._loop_time is not None:
            self._loop_time.enter()
        return ADMITTED

    async def wait_to_compute(self, key: str) -> bool:
        """Wait until the computations of the attempt may begin. Return False if that takes COMPUTING_TURN_SECONDS.

        Only an attempt that may compute for long waits: the last one of its lane did, or there was none.
        """
        if self._loop_time is None or self._work[key].lane.computing_seconds <= SHORT_COMPUTING_SECONDS:
            return True
        return await self._loop_time.wait_to_compute(COMPUTING_TURN_SECONDS)

    def note_computing(self, key: str, seconds: float) -> None:
        """Note how long the attempt has computed, for example for its templates."""
        self._work[key].lane.computing_seconds = seconds

    def begin(self, key: str) -> None:
        """Note that the attempt at the receiver begins now."""
        self._work[key].lane.began[key] = self._loop_now()

    def leave(self, key: str, *, has_failed: bool | None = None) -> None:
        """End the work. `has_failed`: whether the receiver failed; None where it was not asked."""
        lane, group = self._work.pop(key)
        lane.used_places -= 1
        group.used_places -= 1
        began_at = lane.began.pop(key, None)
        lane.hanging.discard(key)
        if has_failed is not None and began_at is not None:
            now = self._now()
            seconds = self._loop_now() - began_at
            lane.is_failing = has_failed
            lane.failed_seconds = seconds
            group.note_end(now)
            if not has_failed:
                lane.durations.append(seconds)
                if self._queued_until <= now:
                    # The receiver answers, and no queue is shown: new work gets its whole share, and turns start now.
                    group.turns_until = {True: 0.0, False: 0.0}
        if self._loop_time is not None:
            self._loop_time.leave()
        if group.waiting:
            group.wake_first()

    def note_arrival(self, waited_seconds: float) -> None:
        """Note how long a new message waited in the bus.

        A long wait shows a queue, and a short wait shows that the queue is over. A wait between them shows a queue only
        if the last queue is not over.
        """
        if waited_seconds <= QUEUE_OVER_SECONDS:
            self._is_queue_over = True
            self._queued_until = -inf
            return
        if waited_seconds > QUEUED_SECONDS or not self._is_queue_over:
            self._is_queue_over = False
            self._queue_seen_at = self._now()
            self._queued_until = self._queue_seen_at + QUEUE_SHOWN_SECONDS

    def has_seen_queue(self, within_seconds: float) -> bool:
        """Return whether a message showed in the last seconds that others wait in the bus."""
        return self._now() < self._queue_seen_at + within_seconds

    def note_answer(self, *, is_acknowledged: bool) -> None:
        """Note what the bus was answered: it gives more messages at once after each one that is acknowledged, and
        half as many after one that is not. https://cloud.google.com/pubsub/docs/push#push_backoff
        """
        if is_acknowledged:
            self._bus_limit = min(self._most, self._bus_limit + 1)
        else:
            self._bus_limit = max(LEAST_PLACES, self._bus_limit // 2)

    def hold_copy(self) -> bool:
        """Count a message that waits because another has the same work under way. Return False if too many wait.

        Each holds a place of the bus, so together they get the part of unproven lanes. Its wait ends with `end_copy`.
        """
        if self._copies >= max(1, self._bus_limit // UNPROVEN_DIVISOR):
            return False
        self._copies += 1
        return True

    def end_copy(self) -> None:
        self._copies -= 1

    def health(self, lane_name: str) -> Health:
        """Return what this process knows of the receiver from its own attempts."""
        lane = self._lanes.get(lane_name)
        return lane.health() if lane else "new"

    def is_answering(self, lane_name: str) -> bool:
        """Return whether the receiver is healthy, or fails at once, so that its work holds no place for long."""
        lane = self._lanes.get(lane_name)
        if lane is None:
            return False
        if lane.health() == "healthy":
            return True
        return lane.is_failing and max(lane.failed_seconds, lane.age()) < SLOW_SECONDS

    def usual_seconds(self, lane_name: str) -> float:
        """Return how long the receiver usually takes to answer; 0 if it is not known."""
        lane = self._lanes.get(lane_name)
        return lane.usual_seconds() if lane else 0.0

    def report_hanging(self, lane_name: str) -> Sequence[str]:
        """Return the attempts under way that hang. Each of them is returned once."""
        lane = self._lanes.get(lane_name)
        return lane.report_hanging() if lane and lane.age() > HANGING_SECONDS else ()

    def is_known_to_hang(self, lane_name: str, key: str) -> bool:
        """Return whether `report_hanging` returned this attempt, which is still under way."""
        lane = self._lanes.get(lane_name)
        return lane is not None and key in lane.hanging

    def _has_place(self, lane: _Lane, group: _Group, return_count: int, now: float) -> bool:
        """Return whether the work may begin now. The first rule that applies decides."""
        # While so few places are used, no other work needs them, and any lane may begin, whatever its health. After a
        # queue, a message has to show first that it is over: until then, others may wait in the bus for the places.
        few_places = (self._bus_limit + IDLE_DIVISOR // 2) // IDLE_DIVISOR
        if self._is_queue_over and len(self._work) < few_places:
            return True
        if lane.health() != "healthy":
            return self._is_first_of_new_lane(lane, group) or self._has_unproven_place(lane, group)
        if self._queued_until > now and self._must_wait_for_queue(group, now):
            return False
        return self._has_place_in_share(group, return_count, now)

    def _is_first_of_new_lane(self, lane: _Lane, group: _Group) -> bool:
        """Return whether this work begins because it is the first of its lane, and its group has few enough places.

        A new process knows no lane, and learns the health of each from its first answer. A tenant may have many new
        endpoints that hang: they get about a third of the places, and none of them gets the last free place.
        """
        is_first = lane.used_places == 0 and lane.health() == "new"
        free = self._free_places()
        return is_first and free > 1 and group.used_places < free / 2

    def _has_unproven_place(self, lane: _Lane, group: _Group) -> bool:
        """Return whether the part of the places for lanes that are not known to be healthy has one for this work.

        There, a lane or a group may have as many places as are free in this part, so that a receiver that hangs leaves
        some places to others.
        """
        part = max(1.0, self._usable_places() / UNPROVEN_DIVISOR)
        free_in_part = part - sum([each.health() != "healthy" for each, _ in self._work.values()])
        return max(group.used_places, lane.used_places) + 1 <= free_in_part

    def _must_wait_for_queue(self, group: _Group, now: float) -> bool:
        """Return whether the group waits, while a queue is shown, until the messages of all are here.

        It brought most of the recent messages, so its own fill the queue. The places that it leaves free are for the
        messages of others that wait between them.
        """
        return self._is_heavy(group, now) and self._has_quiet_neighbor(group, now)

    def _has_place_in_share(self, group: _Group, return_count: int, now: float) -> bool:
        """Return whether the group has fewer places than PLACES_PER_FREE_PLACE allows: see the module's description.

        New work leaves a part of them to earlier work of its group, which would otherwise come back in vain.
        """
        is_earlier_work_due = return_count == 0 and group.turns_until[True] > now
        part = NEW_WORK_PART if is_earlier_work_due else 1.0
        return group.used_places + 1 <= PLACES_PER_FREE_PLACE * part * self._free_places()

    def _usable_places(self) -> int:
        """Return how many places there are: no fewer than the messages that are here, and this one.

        The bus has given this many messages, whatever is known of its limit.
        """
        messages_here = len(self._work) + self._waiting_count + 1
        return min(max(self._bus_limit, messages_here), self._most)

    def _free_places(self) -> int:
        """Return how many places are free; at least 1, so that each group gets a few."""
        return max(1, self._usable_places() - len(self._work))

    def _is_heavy(self, group: _Group, now: float) -> bool:
        """Return whether the group may have caused the queue, and has places to spare."""
        if group.used_places < HEAVY_PLACES:
            return False
        load = group.load.at(now)
        return load >= HEAVY_LOAD and load >= HEAVY_SHARE * self._load.at(now)

    async def _wait(self, lane: _Lane, group: _Group, return_count: int) -> bool:
        """Wait in the process for a place. Return False where the work has to come back.

        Work looks for a place whenever work of its group ends, and every HOLD_SECONDS: work of another group may end.
        """
        clock = asyncio.get_running_loop().time
        began_at = clock()
        hold_seconds = self._hold_seconds(lane)
        was_woken = False
        while lane.health() != "troubled":
            if clock() - began_at >= self._longest_wait(lane, group, hold_seconds, self._now()):
                return False
            # Who was woken and found no place waits at the front again: first come, first served.
            was_woken = await self._hold(group, at_front=was_woken)
            if self._has_place(lane, group, return_count, self._now()):
                return True
        return False

    def _hold_seconds(self, lane: _Lane) -> float:
        """Return how long work of the lane may hold a free place.

        While half of the places are free, work of a new lane waits until the lane has answered for the first time.
        """
        is_half_free = len(self._work) + self._waiting_count <= self._bus_limit / 2
        return NEW_SECONDS if not lane.durations and is_half_free else HOLD_SECONDS

    def _longest_wait(self, lane: _Lane, group: _Group, hold_seconds: float, now: float) -> float:
        """Return how many seconds work may wait in the process, as things are now."""
        if lane.durations and not self._has_quiet_neighbor(group, now):
            return ALONE_SECONDS
        if self._queued_until > now:
            return 0.0  # the messages in the bus need the free places
        return hold_seconds

    async def _hold(self, group: _Group, *, at_front: bool) -> bool:
        """Wait until work of the group ends, or for HOLD_SECONDS. Return whether work ended."""
        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if at_front:
            group.waiting.appendleft(freed)
        else:
            group.waiting.append(freed)
        self._waiting_count += 1
        try:
            await asyncio.wait({freed}, timeout=HOLD_SECONDS)
        finally:
            self._waiting_count -= 1
            with contextlib.suppress(ValueError):  # it was taken from there to be woken
                group.waiting.remove(freed)
        return freed.done()

    def _come_back(self, lane: _Lane, group: _Group, return_count: int) -> ComeBack:
        """Return the time at which a place is free, behind the work of the group that has a turn in the same queue.

        Work that returned in vain waits twice as long, so that a flood costs little more than the work that is done.
        """
        now = self._now()
        places = group.used_places
        is_healthy = lane.health() == "healthy"
        if is_healthy:
            places = max(places, self._usable_places() // TURNS_DIVISOR)
        after_others = group.turns_until[is_healthy] + _seconds_between_turns(lane, group, places)
        least_seconds = MIN_WAIT_SECONDS * 2 ** min(return_count, MAX_WAIT_DOUBLINGS)
        turn = min(max(now + least_seconds, after_others), now + MAX_WAIT_SECONDS)
        group.turns_until[is_healthy] = turn
        return ComeBack(turn - now, lane.health())

    def _has_quiet_neighbor(self, group: _Group, now: float) -> bool:
        """Return whether somebody who sends little may wait in the bus: a group that was here, and has few places.

        One whose receiver is in trouble waits for that receiver.
        """
        for other in reversed(self._groups.values()):  # the last used first
            if other.used_at < now - NEIGHBOR_SECONDS:
                return False
            if other is not group and other.used_places < HEAVY_PLACES and other.lane.health() == "healthy":
                return True
        return False


def _seconds_between_turns(lane: _Lane, group: _Group, places: int) -> float:
    """Return the time in which one of the group's places becomes free.

    This is the time of an attempt, divided by the attempts at once; less if the group's work has ended faster.
    """
    usual_seconds = lane.usual_seconds() or SLOW_SECONDS  # 0 if it is not known
    attempt_seconds = max(usual_seconds, lane.age())
    estimated_seconds = attempt_seconds / max(1, places)
    if group.spacing_seconds == 0.0:
        return estimated_seconds
    return min(estimated_seconds, group.spacing_seconds)


def _remembered(named: OrderedDict[str, _Remembered], name: str, make: Callable[[], _Remembered]) -> _Remembered:
    """Return the lane or the group of this name, which counts as used last.

    If there are too many, the one that was used longest ago is forgotten. One that has places is in use, and stays.
    """
    found = named.get(name)
    if found is None:
        found = named[name] = make()
        if len(named) > MAX_REMEMBERED:
            oldest_name, oldest = next(iter(named.items()))
            if oldest.used_places:
                named.move_to_end(oldest_name)
            else:
                del named[oldest_name]
    named.move_to_end(name)
    return found
