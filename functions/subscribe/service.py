"""What the handlers need: the settings, and the ports on the platform."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    pass
