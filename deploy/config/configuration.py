"""The model of hookchain.yaml: the whole file, and the settings of a deployment.

The sections have modules of their own, in sections/; steps and kinds of destinations in functions/.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from deploy.config.sections import cases, destination, route, source, texts
from deploy.config.sections.alerts import AlertsConfig
from deploy.config.sections.develop import DevelopConfig
from deploy.config.sections.people import PeopleConfig
from deploy.config.sections.subscribers import SubscribersSection
from deploy.config.sections.telemetry import TelemetrySection
from shared.config import rules, values
from shared.retention import Retention

Instances = Annotated[int, Field(ge=1, le=1_000)]
NetworkName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:-]{0,254}$")]


class Vpc(values.Model):
    """A VPC network that the function sends through, and a subnet of it, each by its name or its full path."""

    network: NetworkName | None = None
    subnet: NetworkName | None = None
    egress: Literal["all-traffic", "private-ranges-only"] = "private-ranges-only"

    @model_validator(mode="after")
    def _has_a_network(self) -> "Vpc":
        if self.network is None and self.subnet is None:
            raise ValueError("vpc: must name a network or a subnet; got neither. Add `network: default`, for example")
        return self


class CloudRunConfig(values.Model):
    """A function on Cloud Run. The deployment chooses what is left out."""

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


class PublicOnCloudRun(CloudRunConfig):
    ingress: Literal["all", "internal-and-cloud-load-balancing", "internal"] = "all"


class TransformOnCloudRun(CloudRunConfig):
    ingress: Literal["internal", "internal-and-cloud-load-balancing", "all"] = "internal"


class GoogleCloudConfig(values.Model):
    receive: PublicOnCloudRun = PublicOnCloudRun()
    transform: TransformOnCloudRun = TransformOnCloudRun()
    notify: CloudRunConfig = CloudRunConfig()
    subscribe: PublicOnCloudRun = PublicOnCloudRun()


class LambdaConfig(values.Model):
    """A function on AWS Lambda: its memory in MB, and its largest number of instances.

    The deployment chooses what is left out.
    """

    memory: Annotated[int, Field(ge=128, le=10_240)] | None = None
    max_concurrency: Annotated[int, Field(ge=2, le=1_000)] | None = None


class AwsConfig(values.Model):
    receive: LambdaConfig = LambdaConfig()
    transform: LambdaConfig = LambdaConfig()
    notify: LambdaConfig = LambdaConfig()
    subscribe: LambdaConfig = LambdaConfig()


_DEFAULT_RETENTION: Final = Retention()


class RetentionConfig(values.Model):
    """The times after which events, bodies and dead letters are deleted."""

    events: rules.Seconds = _DEFAULT_RETENTION.events_seconds
    bodies: rules.Seconds = _DEFAULT_RETENTION.bodies_seconds
    dead_letters: rules.Seconds = _DEFAULT_RETENTION.dead_letters_seconds


class Configuration(values.Model):
    """The whole file.

    public_url, trusted_proxies   the defaults for every source; the source's name is added to the URL
    chains                        steps that several routes share
    steps_from                    Python files with steps of your own
    destinations_from             Python files, each with a kind of destination of your own
    lists                         lists of mail addresses, which destinations use by name
    alerts                        who gets alerts about dead letters, stopped destinations and quiet sources
    people                        people with their addresses, by name, or `{file: …}` or `{url: …}` with the list
    subscribers                   your own users subscribe to events, through an API and a portal
    telemetry                     where the functions send their spans, by OpenTelemetry's protocol
    develop                       the sources whose requests `hookchain listen` copies to a developer's machine
    """

    public_url: texts.PublicUrl | None = None
    trusted_proxies: source.TrustedProxies = 0
    sources: dict[rules.Name, source.SourceConfig] = Field(min_length=1)
    routes: list[route.RouteConfig] = Field(default=[])
    chains: dict[rules.Name, route.StepsConfig] = Field(default={})
    steps_from: list[str] = Field(default=[])
    destinations_from: list[str] = Field(default=[])
    destinations: dict[rules.Name, destination.DestinationConfig] = Field(default={})
    lists: dict[rules.Name, list[str]] = Field(default={})
    alerts: AlertsConfig | None = None
    people: PeopleConfig = Field(default={})
    subscribers: SubscribersSection = None
    telemetry: TelemetrySection | None = None
    develop: DevelopConfig | None = None
    retention: RetentionConfig = RetentionConfig()
    google_cloud: GoogleCloudConfig = GoogleCloudConfig()
    aws: AwsConfig = AwsConfig()
    tests: list[cases.CaseConfig] = Field(default=[])
