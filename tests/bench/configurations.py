"""The configurations that are measured, and the requests that their senders send."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import yaml

from shared.jsontext import Json, JsonObject, mapping_at
from tests.bench.tree import Tree
from tests.running.processes import Request

SECRET: Final = "a-secret-of-the-benchmark"
PASSWORD: Final = "a-password-of-the-benchmark"
ENVIRON: Final = {
    "SHOP_KEY": SECRET,
    "DATA_KEY": SECRET,
    "HOOK_KEY": "whsec_bWFkZS1mb3ItdGhlLWJlbmNobWFyayEh",
    "SUBSCRIBERS_KEY": "a-key-of-the-benchmark-that-is-long-enough",
    "SENDGRID_API_KEY": "SG.a-key-of-the-benchmark",
    "EMAIL_FROM": "shop@example.com",
}
"""The secrets and settings of every configuration."""

STEPS: Final[tuple[Json, ...]] = ({"drop": ["data.password"]}, {"set": {"data.team": "north"}})


def configuration(
    sources: int = 1, destinations: int = 1, webhook: str = "", others: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return as many sources, each with a route of two steps to as many mails; or to webhooks, with their URL.

    With one destination each route has its own. `others` has the URLs of the destinations that go elsewhere, with a
    shorter timeout and no breaker.
    """
    names = [f"shop-{n}" for n in range(sources)]
    inboxes = [f"inbox-{n}" for n in range(max(sources, destinations))]
    auth: Json = {"scheme": "hmac", "header": "X-Shop-Signature", "prefix": "sha256=", "secret": "shop-key"}
    document: JsonObject = {
        "sources": {name: {"auth": auth, "type": "data.event", "id": "data.id"} for name in names},
        "routes": [
            {
                "name": f"orders of {name}",
                "from": name,
                "types": ["order.*"],
                "steps": list(STEPS),
                "to": list(inboxes) if destinations > 1 else [inboxes[n]],
            }
            for n, name in enumerate(names)
        ],
        "destinations": {
            **{name: _webhook(webhook) if webhook else _mail(name) for name in inboxes},
            **{name: {**_webhook(url), "breaker": "off", "timeout": "8s"} for name, url in others.items()},
        },
    }
    return yaml.safe_dump(document, sort_keys=False)


def _mail(name: str) -> JsonObject:
    return {"email": {"to": [f"{name}@example.com"], "subject": "{{ data.customer.name }}"}}


def _webhook(url: str) -> JsonObject:
    return {"webhook": {"url": url, "secret": "hook-key", "allow_private": True}}


def whole_catalogue(tree: Tree) -> str:
    """Return every provider of the tree's catalogue as a source."""
    catalogue = yaml.safe_load((tree.root / "shared" / "providers.yaml").read_text(encoding="utf-8"))
    sources: JsonObject = {name: _catalogue_source(name, entry) for name, entry in catalogue.items()}
    sources["shop-0"] = yaml.safe_load(configuration())["sources"]["shop-0"]
    return yaml.safe_dump({**yaml.safe_load(configuration()), "sources": sources}, sort_keys=False)


def _catalogue_source(name: str, entry: JsonObject) -> JsonObject:
    params = entry.get("params")
    needed = [each for each, param in params.items() if isinstance(param, dict)] if isinstance(params, dict) else []
    auth: JsonObject = (
        {"secret": "shop-key"} if entry.get("auth") else {"auth": {"scheme": "path", "secret": "shop-key"}}
    )
    return {"provider": name, "params": dict.fromkeys(needed, "shop-key"), **auth}


EVERYTHING: Final = """
sources:
  shop-0:
    auth: {scheme: hmac, header: X-Shop-Signature, prefix: "sha256=", secret: shop-key}
    type: data.event
    id: data.id
chains:
  clean: [{drop: [data.password]}]
routes:
  - name: all
    from: shop-0
    where: data.total > `10`
    steps: {steps}
    to: people
  - name: converted
    types: [converted]
    steps: [{convert: {to: yaml}}, {encode: {to: base64}}]
    to: people
  - name: asking
    types: [asking]
    steps:
      - deduplicate: data.id
      - fetch: {url: "https://api.example.com/{{ data.id }}", into: data.details}
      - encrypt: {secret: data-key, paths: [data.note]}
      - digest: {algorithm: sha256, into: data.sum}
      - lint: {types: {data.id: text}}
    to: people
  - {name: rest, else: true, steps: clean, to: people}
destinations:
  people:
    email:
      to: [a@example.com]
      subject: "{{ data.customer.name }}"
      html: "<p>{{ data.total }}</p>"
      text: "{{ data.total }}"
"""

TEN_STEPS: Final = """
- drop: [data.password, "data.lines[*].internal"]
- rename: {data.mail: email}
- default: {data.country: DE, data.vip: false}
- cast: {data.total: number, data.count: integer}
- parse_time: [data.ordered_at, data.paid_at]
- set: {data.team: north, data.first: {from: "data.lines[0].sku"}, subject: {from: data.id}}
- redact: {paths: [data.customer.phone], within: [data.note], cards: true, emails: true}
- template: {data.text: "{{ data.customer.name }} ordered {{ data.lines | length }} things for {{ data.total }}"}
- filter: {keep: "data.total > `10`", reason: too small}
- keep: [data.id, data.email, data.customer, data.lines, data.total, data.text, data.note, data.team]
"""


def everything() -> str:
    """Return a configuration with every kind of step, among them ten ordinary ones."""
    return EVERYTHING.replace("steps: {steps}", "steps:" + TEN_STEPS.rstrip().replace("\n", "\n      "))


def small_order(order_id: str) -> bytes:
    """Return an order of 150 bytes."""
    document: JsonObject = {
        "event": "order.created",
        "id": order_id,
        "password": "alakldsjf24567",
        "customer": {"name": "Chuck U Farley", "email": "chuckufarley@example.com"},
    }
    return json.dumps(document).encode()


def order(order_id: str) -> bytes:
    """Return an order of 2 KB."""
    document: JsonObject = {
        "event": "order.created",
        "id": order_id,
        "mail": "ada@example.com",
        "password": "hunter2",
        "total": "58.80",
        "count": "14",
        "ordered_at": "2026-03-01T12:00:00Z",
        "paid_at": 1_772_366_400,
        "note": "call ada@example.com, paid with 4111 1111 1111 1111",
        "customer": {"name": "Ada Lovelace", "phone": "+49 30 1234567", "address": ["Main Street 1", "12345 Berlin"]},
        "lines": [_line(number) for number in range(14)],
    }
    return json.dumps(document).encode()


def _line(number: int) -> JsonObject:
    title, internal = "Bearing, sealed 22mm", "bin 7, top shelf"
    return {"sku": f"KX-{number:04}", "title": title, "quantity": number, "price": "4.20", "internal": internal}


def order_with_attachment(order_id: str) -> bytes:
    """Return an order of 1 MB, most of which is one text."""
    text = base64.b64encode(bytes(range(256)) * 2_900).decode()
    return order(order_id)[:-1] + f', "attachment": "{text}"}}'.encode()


def signed(body: bytes, source: str = "shop-0") -> Request:
    """Return a request with an HMAC of its body and, for receivers that check one instead, a password."""
    return Request(
        f"/{source}",
        body,
        {
            "Content-Type": "application/json",
            "X-Shop-Signature": "sha256=" + hmac.digest(SECRET.encode(), body, hashlib.sha256).hex(),
            "Authorization": "Basic " + base64.b64encode(f"web:{PASSWORD}".encode()).decode(),
        },
    )


def push_of(message: Json, headers: Mapping[str, str]) -> Request:
    """Return the request with which Pub/Sub pushes the message."""
    whole: JsonObject = {"messageId": "1", "publishTime": "2026-03-01T12:00:00.000Z", **mapping_at(message)}
    body = json.dumps({"message": whole, "subscription": "projects/bench/subscriptions/a"}).encode()
    return Request("/", body, {"Content-Type": "application/json", **headers})
