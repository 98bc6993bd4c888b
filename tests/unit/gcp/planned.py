"""Configurations and resources of test_gcp_plan."""

from collections.abc import Mapping
from pathlib import Path

from deploy.cloud_access.gcp_names import Target
from deploy.gcp.graph import Deployment
from deploy.gcp.resource import Resource
from deploy.gcp.resources.services import Bundle
from tests.fakes.configurations import compile_text

TARGET = Target("my-project")
CONFIG = """
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}}
  signup: {auth: {scheme: basic, secret: signup-password}}
routes:
  - {name: all, from: all, to: [inbox, slow]}
destinations:
  inbox: {email: {to: [a@example.com]}}
  slow: {email: {to: [b@example.com], via: smtp}, timeout: 45, retry: [5, 60]}
retention: {bodies: 12h}
"""
ASKING = CONFIG.replace(
    "to: [inbox, slow]", "steps: [{fetch: {url: https://api.example, into: data.a}}], to: [inbox, slow]"
)
"""The same with a step that asks another system, for which a route may wait."""
DEVELOP = f"{CONFIG}develop: {{sources: [shop]}}\n"
"""The same with a tap for developers."""
SUBSCRIBERS = f"""{CONFIG}
subscribers: {{}}
""".replace("destinations:", "destinations:\n  customers: {subscribers: {tenant: data.accountId}}").replace(
    "slow]", "slow, customers]"
)
"""The same with subscribers, for whom there is a further function."""

BUSES = """
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}}
  orders: {bus: {pubsub: orders}}
  partner: {bus: {pubsub: projects/other-project/topics/parts}}
  uploads: {bus: {bucket: my-files, events: [finalize, delete], prefix: in/}}
  jobs: {bus: {sqs: "arn:aws:sqs:eu-central-1:123456789012:jobs"}}
routes: [{name: all, from: all, to: [inbox, own, foreign, keyed]}]
destinations:
  inbox: {email: {to: [a@example.com]}}
  own: {bus: {pubsub: projects/my-project/topics/stream}}
  foreign: {bus: {pubsub: projects/other-project/topics/stream}}
  keyed: {bus: {pubsub: projects/my-project/topics/keyed, secret: other-key}}
"""
"""Sources and destinations on other systems' buses."""


def deployment(
    config: str = CONFIG, environ: Mapping[str, str] | None = None, digests: Mapping[str, str] | None = None
) -> Deployment:
    slices = compile_text(config)
    bundles = {name: Bundle(Path("build") / name, (digests or {}).get(name, name)) for name in slices}
    return Deployment(TARGET, "123", slices, bundles, environ or {}, Path("build/gcp"))


def by_key(resources: tuple[Resource, ...]) -> dict[str, Resource]:
    return {each.key: each for each in resources}


def flag(resource: Resource, name: str) -> str:
    found = [text.partition("=")[2] for text in resource.create[0].arguments if text.startswith(f"--{name}=")]
    assert len(found) == 1, f"{resource.key} has {len(found)} of --{name}"
    return found[0]
