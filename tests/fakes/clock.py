class FakeClock:
    """Time that moves only when a test moves it."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    def advance(self, seconds: float) -> None:
        self.time += seconds
