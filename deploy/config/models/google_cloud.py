"""`google_cloud`: how each function runs on Cloud Run, where the defaults of a deployment do not fit."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from shared.config.values import Model

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
