"""The three functions' own decisions, one after the other, over fakes: a request in, the mails it makes out."""

import json
from collections.abc import Mapping
from typing import cast

from deploy.client.hookchain.auth import Auth, Basic, Hmac, Password, auth_headers
from deploy.explain.case_input import case_services
from functions.notify.destinations.email.email import MailSettings, MailWriter
from functions.notify.destinations.email.mail import Address, Mail
from functions.receive.receive import Accepted, Receiver
from functions.receive.source import Source, read_sources
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.delivery import Delivery, delivery_from
from shared.event import Event, read_kept_parts
from shared.http import Request
from shared.jsontext import JsonObject, mapping_at
from shared.ports import DELIVERIES, EVENTS, BusMessage
from shared.push import Push
from shared.signatures.passwords import BasicScheme, BearerScheme, HeaderScheme, QueryScheme
from shared.signatures.signature_scheme import HmacScheme
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

Slices = Mapping[str, JsonObject]


class Pipeline:
    """What a compiled configuration does with a request. Every secret has the same value."""

    def __init__(self, slices: Slices, secret_names: list[str], secret: str) -> None:
        self.sources = read_sources(slices["receive"])
        self._secret = secret
        self._slices = slices
        self._secrets = FakeSecrets(dict.fromkeys(secret_names, secret))
        self.clock = FakeClock()

    async def event(self, source: str, body: bytes, headers: Mapping[str, str]) -> tuple[Event, BusMessage]:
        """As its sender would post it, with the proof that the source asks for."""
        bus = FakeBus()
        receiver = Receiver(self.sources, self._secrets, bus, FakeBlobs(), self.clock, random_id=lambda: "0" * 32)
        query, proof = self._proof(self.sources[source], body)

        pairs = tuple((name.lower(), value) for name, value in (*headers.items(), *proof))
        accepted = await receiver.receive(Request("POST", f"/{source}", query, pairs), reading(body))
        assert isinstance(accepted, Accepted)
        [message] = bus.on(EVENTS)
        return accepted.events[0], message

    async def mails(self, source: str, body: bytes, headers: Mapping[str, str]) -> list[Mail]:
        return [self._mail(delivery) for delivery in await self.deliveries(source, body, headers)]

    async def deliveries(self, source: str, body: bytes, headers: Mapping[str, str]) -> list[Delivery]:
        _, message = await self.event(source, body, headers)
        bus = FakeBus()
        transformer = Transformer(
            read_program(self._slices["transform"]).routes,
            bus,
            FakeBlobs(),
            None,
            FakeClock(),
            case_services({}),
            kept_parts=read_kept_parts(self._slices["transform"]),
        )
        await transformer.take(Push(message.data, message.attributes))
        return [delivery_from(json.loads(message.data)) for message in bus.on(DELIVERIES)]

    def _proof(self, source: Source, body: bytes) -> tuple[str, list[tuple[str, str]]]:
        auth: Auth
        match source.auth[0]:
            case QueryScheme(parameter=parameter):
                return f"{parameter}={self._secret}", []
            case BearerScheme():
                return "", [("Authorization", f"Bearer {self._secret}")]
            case BasicScheme(username=username):
                auth = Basic(username or "anyone")
            case HeaderScheme(header=header):
                auth = Password(header)
            case HmacScheme() as scheme:
                auth = Hmac(scheme.at.name, scheme.algorithm, scheme.encoding, scheme.prefix)
            case other:
                raise LookupError(f"no request of {other.scheme} is made here")
        return "", auth_headers(auth, self._secret, body, "none", 0.0)

    def _mail(self, delivery: Delivery) -> Mail:
        destinations = mapping_at(self._slices["notify"]["destinations"])
        destination = mapping_at(destinations[delivery.destination])
        writer = MailWriter(cast("MailSettings", destination["settings"]))
        return writer.write(delivery, Address("from@example.com"), delivery.id)
