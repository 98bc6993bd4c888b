"""What every way of proof may say: its name, and when it counts."""

from deploy.config.models.places import Place
from shared.config.values import Model


class Conditional(Model):
    """`variant` is the way's name. `when`: the way counts only where each place holds that text (true: any text)."""

    variant: str | None = None
    when: dict[Place, str | bool] | None = None
