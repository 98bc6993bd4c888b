class FakeClock:
    """Time that moves only when a test moves it."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.time = now
        self.set_ahead_seconds = 0.0

    def now(self) -> float:
        return self.time + self.set_ahead_seconds

    def monotonic(self) -> float:
        """Return a time that stays the same when the clock is set."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    def advance(self, seconds: float) -> None:
        self.time += seconds
