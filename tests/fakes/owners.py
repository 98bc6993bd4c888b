from shared.errors import Temporary


class FakeOwners:
    """A dictionary. With `fault` set, it refuses instead."""

    def __init__(self) -> None:
        self.owners: dict[str, tuple[str, float]] = {}
        self.fault: str | None = None

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        if self.fault:
            raise Temporary("owners_unavailable", self.fault)
        owner, since = self.owners.get(key, (event_id, now))
        if now - since >= window_seconds:
            owner, since = event_id, now
        self.owners[key] = owner, since
        return owner
