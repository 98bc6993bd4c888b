"""A bundle has the packages that its configuration uses, and none that it does not."""

from pathlib import Path

import pytest

from deploy.bundle.bundle import CannotDeploy, contents
from deploy.bundle.requirements import features
from shared.jsontext import JsonObject
from tests.fakes.configurations import compile_text


def compiled(source: str = "auth: none", steps: str = "[]") -> dict[str, JsonObject]:
    text = f"sources: {{a: {{{source}}}}}\nroutes: [{{name: r, steps: {steps}, to: d}}]\n"
    text += "destinations: {d: {email: {to: a@b.example}}}\n"
    return compile_text(text)


@pytest.mark.parametrize(
    ("source", "extras"),
    [
        ("auth: none", ()),
        ("auth: none, schema: {type: object}", ("schema",)),
        ("auth: {scheme: standard-webhooks, secret: key}", ("crypto",)),
        ("auth: {scheme: jwt, algorithms: [RS256, ES256], secret: key}", ("crypto",)),
        ("provider: aws_sns", ("crypto",)),
    ],
)
def test_receive_needs_what_its_sources_use(source: str, extras: tuple[str, ...]) -> None:
    assert features("receive", compiled(source)["receive"]) == extras


def test_transform_needs_what_its_steps_say() -> None:
    slices = compiled(steps="[{drop: [data.x]}, {lint: {schema: {type: object}}}]")
    assert "schema" in features("transform", slices["transform"])
    assert features("transform", compiled()["transform"]) == ()


def test_notify_needs_what_its_kinds_say(tmp_path: Path) -> None:
    source = "class Settings(BaseModel):\n    extras: ClassVar = ('jwe',)\n\nEXAMPLES = ()\nrequest = outcome = print\n"
    imports = "from typing import ClassVar\nfrom pydantic import BaseModel\n"
    (tmp_path / "beacon.py").write_text(imports + source, encoding="utf-8")

    def extras(destination: str) -> tuple[str, ...]:
        text = "sources: {a: {auth: none}}\nroutes: [{name: r, to: d}]\ndestinations_from: [beacon.py]\n"
        text += f"destinations: {{d: {destination}}}\n"
        return features("notify", compile_text(text, tmp_path)["notify"])

    assert extras("{apprise: {secret: gotify-url}}") == ("apprise",)
    assert extras("{beacon: {}}") == ("jwe",)
    assert extras("{ntfy: {topic: a}}") == ()


@pytest.mark.parametrize(("secret", "extras"), [("secret: robot-key", ("crypto",)), ("", ())])
def test_the_key_of_a_service_account_needs_cryptography(secret: str, extras: tuple[str, ...]) -> None:
    call = f"{{url: 'https://api.example.com/in', auth: {{scheme: google_oauth, {secret}}}}}"
    assert features("transform", compiled(steps=f"[{{call: {call}}}]")["transform"]) == extras
    destination: JsonObject = {"kind": "email", "settings": {"auth": [{"scheme": "google_oauth", "secret": "key"}]}}
    assert features("notify", {"destinations": {"api": destination}}) == ("crypto",)


def test_a_plan_for_aws_lists_every_destination_that_cannot_be_deployed_there(root: Path) -> None:
    text = """
sources: {a: {auth: none}}
routes: [{name: r, to: [image, hooked, topic, files, rows]}]
destinations:
  image: {cloud_build: {project: shop, trigger: image}}
  hooked: {cloud_build: {webhook_secret: build-url}}
  topic: {bus: {pubsub: projects/shop-project/topics/orders}}
  files: {object: {bucket: "gs://shop-files", key: "{{ delivery_id }}"}}
  rows: {sql: {driver: sqlite, database: rows.db, table: rows, columns: {a: data.a}}}
"""
    notify = compile_text(text)["notify"]
    with pytest.raises(CannotDeploy) as fault:
        contents(root, "notify", notify, "aws")
    assert [line.partition(":")[0] for line in str(fault.value).splitlines()] == [
        "destinations.rows.sql.driver",
        "destinations.image.cloud_build.secret",
        "destinations.topic.bus.secret",
        "destinations.files.object.secret",
    ]
