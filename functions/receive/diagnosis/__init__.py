"""The likely causes of rejections, loaded after the first one: most requests need none of it."""

from typing import Final

DIFFERENT_SECRET: Final = "the sender uses a different secret"  # noqa: S105 a sentence
"""Stands in each cause that leaves open which secret was used. Any other cause shows that the secret is right."""
