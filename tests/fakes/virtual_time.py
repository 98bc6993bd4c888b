import asyncio
import selectors
from typing import Final

START: Final = 1_790_000_000.0


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where the loop would sleep, time moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def select(  # type: ignore[explicit-any] # a SelectorKey holds anything
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for another one: a deadlock")
        self.slept += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass in milliseconds, in the same order each time. It is a Clock too."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.slept

    def now(self) -> float:
        return START + self._virtual.slept
