from collections.abc import Sequence

from shared.errors import Temporary
from shared.ports import BusMessage


class FakeBus:
    """Keeps what was published. With `fault` set, it refuses instead."""

    def __init__(self, max_delay_seconds: float = 0.0) -> None:
        self.max_delay_seconds = max_delay_seconds
        self.sent: list[tuple[str, BusMessage]] = []
        self.fault: str | None = None

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        if self.fault:
            raise Temporary("bus_unavailable", self.fault)
        self.sent.extend((topic, message) for message in messages)

    def on(self, topic: str) -> list[BusMessage]:
        return [message for name, message in self.sent if name == topic]
