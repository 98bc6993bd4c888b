from collections.abc import Mapping

from shared.secrets import usable_values


class FakeSecrets:
    """The same rules as the real store, over a dictionary of texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = dict(texts)

    async def values(self, name: str) -> tuple[str, ...]:
        return usable_values(name, self.texts.get(name))
