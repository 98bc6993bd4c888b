"""Each recipe, from its sample to the mails that it makes, through the three functions' own decisions."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.compiler import compile_file, secrets_needed
from functions.notify.mail.addresses import Address
from functions.notify.mail.mail import Mail
from functions.notify.mail.render import MailWriter
from functions.notify.mail.settings import Settings
from functions.receive.receive import Receiver
from functions.receive.sources import Auth, read_sources
from functions.transform.routes import read_routes
from functions.transform.transformer import Transformer
from shared.delivery import delivery_from
from shared.http import Request
from shared.jsontext import JsonObject
from shared.ports import DELIVERIES, EVENTS, BusMessage
from shared.push import Push
from shared.sending_auth import Auth as SendingAuth
from shared.sending_auth import Basic, Hmac, Password, auth_headers
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

RECIPES = Path("deploy/recipes")
CONTENT_TYPES = {
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".xml": "application/xml",
    ".form": "application/x-www-form-urlencoded",
}
SECRET = "a secret of the recipe's test"


@dataclass(frozen=True, slots=True)
class Expected:
    """Subjects, each with those it goes to; what the text of the first mail holds, and what none of it does."""

    subjects: dict[str, list[str]]
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


EXPECTED = {
    "record-to-list": Expected(
        {"New on the website: Summer opening hours": ["ann@example.com", "bob@example.com", "carla@example.com"]},
        ("https://www.example.com/news/4711", "Dana"),
        ("check with Ed first",),
    ),
    "newsletter-signup": Expected(
        {"Newsletter: Grace Hopper signed up": ["editor@example.com"]}, ("grace@example.com", "events"), ("0d1f",)
    ),
    "part-in-warehouse": Expected(
        {
            "Arrived: 4 × KX-100-7": ["purchasing@example.com"],
            "Only 4 left of KX-100-7": ["orders@example.com"],
        },
        ("Bearing, sealed", "Ines"),
    ),
    "device-security-event": Expected(
        {"[high] malware.blocked on C02XK1TESTMD": ["security@example.com"]}, ("jdoe", "<securityEvent", "Trojan.Test")
    ),
    "password-created": Expected(
        {"Password created for Chuck U Farley": ["care@example.com"]}, ("chuckufarley@example.com",), ("alakldsjf",)
    ),
}


def test_every_recipe_is_tried_here() -> None:
    assert {folder.name for folder in RECIPES.iterdir() if folder.is_dir()} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_a_recipes_sample_becomes_the_mails_it_promises(name: str) -> None:
    expected = EXPECTED[name]
    mails = await mails_of(RECIPES / name)
    assert {mail.subject: [to.address for to in mail.to] for mail in mails} == expected.subjects
    for text in (mails[0].text or "", mails[0].html or ""):
        assert all(part in text or part.replace("<", "&lt;") in text for part in expected.holds)
        assert all(part not in text for part in expected.lacks)


async def mails_of(folder: Path) -> list[Mail]:
    slices = compile_file(folder / "hookchain.yaml", {})
    [event] = await received(folder, slices)
    bus = FakeBus()
    routes = read_routes(slices["transform"])
    await Transformer(routes, bus, FakeBlobs(), None, FakeClock()).take(Push(event.data, event.attributes))
    return [mail_of(message, slices["notify"]) for message in bus.on(DELIVERIES)]


async def received(folder: Path, slices: dict[str, JsonObject]) -> list[BusMessage]:
    [sample] = folder.glob("sample.*")
    body = sample.read_bytes()
    sources = read_sources(slices["receive"])
    [source] = sources.values()
    query, headers = credentials(source.auth[0], body)
    secrets = FakeSecrets(dict.fromkeys(secrets_needed(slices), SECRET))
    bus = FakeBus()
    receiver = Receiver(sources, secrets, bus, FakeBlobs(), FakeClock(), random_id=lambda: "0" * 32)

    async def read_body(max_bytes: int) -> bytes:
        assert len(body) <= max_bytes
        return body

    content_type = ("content-type", CONTENT_TYPES[sample.suffix])
    await receiver.receive(Request("POST", f"/{source.name}", query, (content_type, *headers)), read_body)
    return bus.on(EVENTS)


def credentials(way: Auth, body: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Query and headers by which the recipe's sender proves itself."""
    ways: dict[str, SendingAuth] = {
        "basic": Basic(way.username or "anyone"),
        "header": Password(way.header),
        "hmac": Hmac(way.header, way.algorithm, way.encoding, way.prefix),
    }
    if way.scheme == "query":
        return f"{way.parameter}={SECRET.replace(' ', '+')}", ()
    headers = auth_headers(ways[way.scheme], SECRET, body, "none", 0.0)
    return "", tuple((name.lower(), value) for name, value in headers)


def mail_of(message: BusMessage, notify: JsonObject) -> Mail:
    delivery = delivery_from(json.loads(message.data))
    destinations = notify["destinations"]
    assert isinstance(destinations, dict)
    destination = destinations[delivery.destination]
    assert isinstance(destination, dict)
    settings = Settings.model_validate(destination["settings"])
    return MailWriter(settings).write(delivery, delivery.event, Address("from@example.com"), delivery.id)
