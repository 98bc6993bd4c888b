"""What a step computes while it is asked, bounded like all that steps compute; what it waits for is not counted."""

from collections.abc import Coroutine, Generator
from typing import Generic, TypeVar

from shared.time_bound import bounded

T = TypeVar("T")


class bounded_await(Generic[T]):  # noqa: N801 written as `bounded`, which it is to what waits
    """Awaits the coroutine. Between two of its waits OutOfTime is raised in it, as out of `bounded`."""

    def __init__(self, coroutine: Coroutine[object, object, T]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[object, object, T]:
        answer: object = None
        fault: BaseException | None = None
        while True:
            with bounded():
                try:
                    waits_for = self._coroutine.throw(fault) if fault else self._coroutine.send(answer)
                except StopIteration as end:
                    result: T = end.value
                    return result
            answer = fault = None
            try:
                answer = yield waits_for
            except BaseException as error:  # cancelled, too: what it means is the step's to say
                fault = error
