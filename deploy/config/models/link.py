"""The proof of a signed link."""

from typing import Literal

from deploy.config.models.conditional import Conditional
from shared.config.values import SecretName


class LinkAuth(Conditional):
    """A link made by `hookchain link`: its signature, and its time where it has one. The source takes GET."""

    scheme: Literal["link"]
    secret: SecretName
