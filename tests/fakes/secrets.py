from collections.abc import Mapping

from shared.errors import Temporary
from shared.secrets import usable_values


class FakeSecrets:
    """The same rules as the real store, over a dictionary of texts; it keeps values while their text stays the same.

    With `fault` set, it raises that instead.
    """

    def __init__(self, texts: Mapping[str, str], fault: Temporary | None = None) -> None:
        self.texts = dict(texts)
        self.fault = fault
        self._read: dict[tuple[str, str], tuple[str, ...]] = {}

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        if self.fault:
            raise self.fault
        text = self.texts.get(name)
        if text is None:
            return usable_values(name, None)
        if (name, text) not in self._read:
            self._read[name, text] = usable_values(name, text)
        return self._read[name, text]
