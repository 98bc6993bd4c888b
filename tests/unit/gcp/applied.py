"""Deployments to a small Google Cloud."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.cloud_access.gcp import Answer
from deploy.cloud_access.gcp_names import Target
from deploy.gcp.apply import Applying, Failure
from deploy.gcp.graph import Deployment, graph
from deploy.gcp.live import read_grants, read_resources, topics_of_others
from deploy.gcp.plan import Action, Removal, changes, deployment_resources, remaining_resources, removal
from deploy.gcp.resource import kind_and_name
from deploy.gcp.resources.services import Bundle
from tests.fakes.configurations import compile_text
from tests.gcloud.shown import NUMBER
from tests.gcloud.world import World

TARGET = Target("my-project")
CONFIG = """
sources: {shop: {auth: {scheme: bearer, secret: shop-key}}}
routes: [{name: all, from: shop, to: inbox}]
destinations: {inbox: {email: {to: [a@example.com]}}}
"""
VALUES = {
    "shop-key": "a-value-of-the-test",
    "subscribers-key": "a-key-of-the-test-with-32-characters",
    "other-key": "one-more-of-the-test",
    "sendgrid-api-key": "another-of-the-test",
}


@dataclass
class Asked:
    """A runner that asks the world, with the project said as the real one says it."""

    world: World

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 0) -> Answer:
        return Answer(
            *self.world.call([*arguments, f"--project={self.world.project}", "--quiet"], (stdin or b"").decode())
        )


@dataclass
class Noted:
    done: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def began(self, action: Action) -> None: ...

    def waits(self, action: Action, seconds: float) -> None:
        self.waited.append(seconds)

    def ended(self, action: Action, seconds: float, failed: bool) -> None:
        if not failed:
            self.done.append(f"{action.verb} {action.kind} {action.name}")


def deployment(
    folder: Path, digests: Mapping[str, str] | None = None, config: str = CONFIG, target: Target = TARGET
) -> Deployment:
    slices = compile_text(config)
    bundles = {name: Bundle(Path("build") / name, (digests or {}).get(name, name)) for name in slices}
    return Deployment(target, NUMBER, slices, bundles, {}, folder / "gcp")


def deploy(world: World, wanted: Deployment, workers: int = 1) -> tuple[Failure | None, Noted]:
    """All that one `make deploy-gcp` does with the cloud."""
    runner, noted = Asked(world), Noted()
    actions = changes(runner, wanted.target, graph(wanted))
    applying = Applying(runner, wanted.target, VALUES, noted, workers, sleep=noted.waited.append)
    return applying.apply(actions), noted


def removed(world: World, everything: bool = False, target: Target = TARGET) -> Removal:
    runner = Asked(world)
    there = read_resources(runner, target)
    things = deployment_resources(target, there)
    kept = remaining_resources(target, things, everything)
    read = map(kind_and_name, kept)
    grants = read_grants(runner, target, read, topics_of_others(there))
    return removal(target, things, kept, grants)
