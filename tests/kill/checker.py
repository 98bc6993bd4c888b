"""The duplicate-and-loss checker: what was posted, what was answered and what arrived, and nothing else.

It knows no part of the product. An event that was accepted must arrive, and arrive once. A second copy is excused only
by a disturbance that the test itself caused and noted, and only where that disturbance struck while a copy was on its
way: then the sender cannot know whether it arrived. Times are seconds of one monotonic clock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Post:
    """One request of a sender. `status` is None where no answer came."""

    id: str
    status: int | None

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_rejected(self) -> bool:
        return self.status is not None and 400 <= self.status < 500


@dataclass(frozen=True, slots=True)
class Arrival:
    """One copy, as the place that it was sent to saw it: when it was there, and when its answer was written.

    `worker` names who sent it, where there are several.
    """

    id: str
    arrived_at: float
    answered_at: float
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What the test did to a worker between two moments.

    `delays`: the copies that it struck may arrive late, after the one that was sent in their place.
    """

    kind: str
    began_at: float
    ended_at: float
    worker: str = ""
    delays: bool = False


@dataclass(frozen=True, slots=True)
class Grace:
    """How long before its arrival a copy can have been on its way, and how long after its answer its sender may take to
    record it."""

    before_seconds: float = 0.25
    after_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """`lost`: accepted, and never arrived. `forged`: arrived, and never posted or only rejected.

    `unexplained` has how many copies too many, by id; `explained` counts those that a disturbance excuses.
    """

    posted: int
    accepted: int
    arrivals: int
    lost: tuple[str, ...]
    forged: tuple[str, ...]
    unexplained: Mapping[str, int]
    explained: int

    @property
    def is_good(self) -> bool:
        return not self.lost and not self.forged and not self.unexplained

    def __str__(self) -> str:
        extra = sum(self.unexplained.values())
        text = (
            f"{self.posted:,} events posted, {self.accepted:,} accepted, {self.arrivals:,} copies arrived; "
            f"{len(self.lost)} lost, {self.explained} extra and explained, {extra} extra and not explained"
        )
        text += f", {len(self.forged)} arrived without an accepted request" if self.forged else ""
        return text + _named("lost", self.lost) + _named("not explained", self.unexplained)


def _named(title: str, ids: Collection[str]) -> str:
    few = ", ".join(sorted(ids)[:MOST_NAMED]) + (" …" if len(ids) > MOST_NAMED else "")
    return f"\n  {title}: {few}" if ids else ""


def check(
    posts: Iterable[Post],
    arrivals: Iterable[Arrival],
    disturbances: Sequence[Disturbance] = (),
    grace: Grace = Grace(),
    given_up: Collection[str] = (),
) -> Verdict:
    """Return the verdict. `given_up` are the ids whose senders were told of a failure: a dead letter is no loss."""
    seen: dict[str, list[Post]] = {}
    for post in posts:
        seen.setdefault(post.id, []).append(post)
    copies: dict[str, list[Arrival]] = {}
    for arrival in arrivals:
        copies.setdefault(arrival.id, []).append(arrival)
    by_worker: dict[str, list[Disturbance]] = {}
    for disturbance in disturbances:
        by_worker.setdefault(disturbance.worker, []).append(disturbance)

    accepted = {id for id, sent in seen.items() if any(post.is_accepted for post in sent)}
    explained, unexplained = 0, {}
    for id, found in copies.items():
        excused = _excused(sorted(found, key=lambda copy: copy.arrived_at), by_worker, grace)
        explained += excused
        if extra := len(found) - 1 - excused:
            unexplained[id] = extra
    return Verdict(
        posted=len(seen),
        accepted=len(accepted),
        arrivals=sum(map(len, copies.values())),
        lost=tuple(sorted(accepted - copies.keys() - set(given_up))),
        forged=tuple(sorted(id for id in copies if all(post.is_rejected for post in seen.get(id, ())))),
        unexplained=unexplained,
        explained=explained,
    )


def _excused(copies: Sequence[Arrival], by_worker: Mapping[str, Sequence[Disturbance]], grace: Grace) -> int:
    """How many of the copies after the first are excused: at most one for each copy that was struck.

    The last copy excuses none that came before it, except where it may itself be the late one.
    """
    struck = [[each for each in by_worker.get(copy.worker, ()) if _is_struck(copy, each, grace)] for copy in copies]
    count = sum(bool(strikes) for strikes in struck[:-1]) + any(each.delays for each in struck[-1])
    return min(count, len(copies) - 1)


def _is_struck(copy: Arrival, disturbance: Disturbance, grace: Grace) -> bool:
    began, ended = copy.arrived_at - grace.before_seconds, copy.answered_at + grace.after_seconds
    return disturbance.began_at <= ended and disturbance.ended_at >= began
