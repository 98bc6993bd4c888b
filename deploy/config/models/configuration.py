"""hookchain.yaml as types: what an operator may write, checked with pydantic before anything is compiled from it.

Steps and destinations are checked by their own models, which the compiler brings: this package knows only their place.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from deploy.config.models.case import CaseConfig
from deploy.config.models.source import PublicUrl, SourceConfig, TrustedProxies
from shared.config.values import Model, Name, Seconds, listed
from shared.jsontext import Json


def as_steps(value: object) -> object:
    """The name of a chain stands for going through it."""
    return [{"chain": value}] if isinstance(value, str) else value


StepConfig = dict[str, JsonValue]
StepsConfig = Annotated[list[StepConfig], BeforeValidator(as_steps)]


class RouteConfig(Model):
    """Which events, through which steps, to which destinations.

    `else`: of those, the ones that no other route takes. `on_error` says what becomes of an event that a step can never
    take: given up on and kept, gone on with as it was before that step, or dropped with a word in the journal.
    """

    name: str = Field(min_length=1, max_length=100)
    from_: Annotated[list[str], BeforeValidator(listed)] = Field(default=["all"], alias="from", min_length=1)
    types: Annotated[list[str], BeforeValidator(listed)] = Field(default=[], min_length=1)
    where: str | None = None
    else_: bool = Field(default=False, alias="else")
    enabled: bool = True
    on_error: Literal["dead_letter", "continue", "drop"] = "dead_letter"
    steps: StepsConfig = Field(default=[])
    to: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]


class DestinationConfig(BaseModel):
    """One key names the kind and holds its settings; the others are the same for every kind.

    retry        the waits between attempts
    timeout      how long one attempt may take
    on_unknown   what follows an attempt that was sent and got no answer: `resend` waits for minutes and sends again,
                 `hold` keeps the delivery until `hookchain release`
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    retry: list[Seconds] | None = Field(default=None, max_length=50)
    timeout: Seconds = Field(15.0, ge=1, le=60)
    on_unknown: Literal["resend", "hold"] = "resend"

    @property
    def kinds(self) -> Mapping[str, Json]:
        return self.model_extra or {}

    @model_validator(mode="after")
    def _one_kind(self) -> "DestinationConfig":
        if len(self.kinds) != 1:
            found = ", ".join(sorted(self.kinds)) or "none"
            raise ValueError(f"a destination has one key that says what it is, such as `email`; found {found}")
        return self


Instances = Annotated[int, Field(ge=1, le=1_000)]
NetworkName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:-]{0,254}$")]


class Vpc(Model):
    """A network of yours that the function sends through: its own name or its full path, and a subnet's."""

    network: NetworkName | None = None
    subnet: NetworkName | None = None
    egress: Literal["all-traffic", "private-ranges-only"] = "private-ranges-only"

    @model_validator(mode="after")
    def _has_a_network(self) -> "Vpc":
        if self.network is None and self.subnet is None:
            raise ValueError("vpc: must name a network or a subnet; got neither. Add `network: default`, for example")
        return self


class CloudRunConfig(Model):
    """One function. What is left out is chosen by the deployment."""

    min_instances: Annotated[int, Field(ge=0, le=1_000)] = 0
    max_instances: Instances | None = None
    concurrency: Instances | None = None
    memory: Literal["512Mi", "1Gi", "2Gi", "4Gi"] = "512Mi"
    vpc: Vpc | None = None

    @model_validator(mode="after")
    def _has_room(self) -> "CloudRunConfig":
        if self.max_instances is not None and self.min_instances > self.max_instances:
            found = f"got min_instances {self.min_instances} and max_instances {self.max_instances}"
            raise ValueError(
                f"min_instances: must not exceed max_instances; {found}. Lower the first or raise the other"
            )
        return self


class ReceiveOnCloudRun(CloudRunConfig):
    ingress: Literal["all", "internal-and-cloud-load-balancing", "internal"] = "all"


class TransformOnCloudRun(CloudRunConfig):
    ingress: Literal["internal", "internal-and-cloud-load-balancing", "all"] = "internal"


class GoogleCloudConfig(Model):
    receive: ReceiveOnCloudRun = ReceiveOnCloudRun()
    transform: TransformOnCloudRun = TransformOnCloudRun()
    notify: CloudRunConfig = CloudRunConfig()


class Retention(Model):
    events: Seconds = 30 * 86_400
    bodies: Seconds = 7 * 86_400
    dead_letters: Seconds = 45 * 86_400


class BundleConfig(Model):
    """The whole file. `steps_from` are Python files with steps of the operator's own.

    `public_url` and `trusted_proxies` hold for every source that says no other; to the URL, its name is added.
    """

    public_url: PublicUrl | None = None
    trusted_proxies: TrustedProxies = 0
    sources: dict[Name, SourceConfig] = Field(min_length=1)
    routes: list[RouteConfig] = Field(default=[])
    chains: dict[Name, StepsConfig] = Field(default={})
    steps_from: list[str] = Field(default=[])
    destinations: dict[Name, DestinationConfig] = Field(default={})
    lists: dict[Name, list[str]] = Field(default={})
    retention: Retention = Retention()
    google_cloud: GoogleCloudConfig = GoogleCloudConfig()
    tests: list[CaseConfig] = Field(default=[])
