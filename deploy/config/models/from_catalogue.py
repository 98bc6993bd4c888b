"""What a source takes from the catalogue: the keys that go with `provider`."""

from pydantic import Field, model_validator

from deploy.config.models.signed import MAX_LEEWAY_SECONDS, MAX_TOLERANCE_SECONDS
from shared.config.values import Model, Seconds, SecretName


class FromCatalogue(Model):
    """`provider` is a key of shared/providers.yaml: its ways of proof, event fields, handshakes and answer are the
    source's, but for what the source says itself (an `auth` of its own replaces the entry's ways).

    `secret` is what those ways are proven with. `variant` takes one of them alone; `tolerance` (`90s`, `10m`) replaces
    the provider's, and `leeway` is how long after its `exp` a JSON Web Token is still accepted. `params` are what the
    entry asks for, such as an account id; some are names of secrets.
    """

    provider: str | None = None
    secret: SecretName | None = None
    variant: str | None = None
    tolerance: Seconds | None = Field(None, ge=0, le=MAX_TOLERANCE_SECONDS)
    leeway: Seconds | None = Field(None, ge=0, le=MAX_LEEWAY_SECONDS)
    params: dict[str, str | list[str]] = Field(default={})

    @model_validator(mode="after")
    def _only_with_a_provider(self) -> "FromCatalogue":
        keys = self.model_fields_set & {"secret", "variant", "tolerance", "leeway", "params"}
        if self.provider is None and keys:
            raise ValueError(
                f"`{sorted(keys)[0]}` goes with `provider`; under `auth`, each way has a secret of its own"
            )
        return self
