"""hookchain.yaml as types: what an operator may write, checked with pydantic before anything is compiled from it.

Steps and destinations are checked by their own models, which the compiler brings: this package knows only their place.
"""

from pydantic import Field

from deploy.config.models.case import CaseConfig
from deploy.config.models.destination import DestinationConfig
from deploy.config.models.google_cloud import GoogleCloudConfig
from deploy.config.models.route import RouteConfig, StepsConfig
from deploy.config.models.sender import PublicUrl, TrustedProxies
from deploy.config.models.source import SourceConfig
from shared.config.values import Model, Name, Seconds


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
