"""A chain: its steps in order, each taking the event that the one before made."""

from dataclasses import dataclass
from typing import Final

from functions.transform.output import verify_output
from functions.transform.registry import NamedStep
from functions.transform.step import StepContext
from shared.errors import HookchainError, Permanent, Temporary
from shared.event import Event

MAX_REASON_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Chain:
    route: str
    steps: tuple[NamedStep, ...] = ()

    def run(self, event: Event) -> Event:
        """Raises Permanent and Temporary, each naming the route, the step's number and the step."""
        context = StepContext(event)
        for named in self.steps:
            event = self._applied(named, event, context)
        return event

    def _applied(self, named: NamedStep, event: Event, context: StepContext) -> Event:
        where = f"route {self.route!r}: step {named.number} {named.name!r}"
        try:
            after = named.step.apply(event, context)
            if not isinstance(after, Event):
                raise Permanent("step", f"it answered {type(after).__name__}, not an event")
            if after.data is not event.data:
                verify_output(after.data)
        except HookchainError as error:
            kind = Temporary if isinstance(error, Temporary) else Permanent
            raise kind(error.code, f"{where}: {error.detail}"[:MAX_REASON_CHARACTERS]) from error
        except BaseException as error:
            # A step may be the operator's own code. Whatever it raises, even SystemExit, costs this route's event and
            # no more; nothing else is raised in here, as a step does not await.
            raise Permanent("step", f"{where}: {type(error).__name__}") from error
        return after
