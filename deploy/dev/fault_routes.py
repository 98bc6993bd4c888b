"""Faults on demand, changed while the emulated cloud APIs run: GET, POST and DELETE /emulator/faults.

The document is what `--faults` takes at the start, too:
`{"seed": 7, "bus": {"duplicate": 0.05, "nack": 0.05}, "mail": {"unplugged": true}}`
What it does not name stays as it is. The members of `bus` and `mail` are described in pubsub/faults.py and
sendgrid/faults.py.
"""

import json

from aiohttp import web

from deploy.dev.pubsub.emulator import PubSub
from deploy.dev.pubsub.faults import Faults
from deploy.dev.sendgrid.app import SendGrid
from shared.jsontext import Json, JsonObject, to_json


class FaultRoutes:
    def __init__(self, pubsub: PubSub, sendgrid: SendGrid) -> None:
        self._pubsub = pubsub
        self._sendgrid = sendgrid

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/emulator/faults", self.show),
            web.post("/emulator/faults", self.change),
            web.delete("/emulator/faults", self.clear),
        ]

    async def show(self, _: web.Request) -> web.Response:
        return self._document()

    async def change(self, request: web.Request) -> web.Response:
        try:
            self.apply(json.loads(await request.read()))
        except (ValueError, RecursionError) as error:
            return web.Response(status=400, text=f"{error}\n")
        return self._document()

    async def clear(self, _: web.Request) -> web.Response:
        self._pubsub.plan.faults = Faults()
        self._sendgrid.faults.clear()
        return self._document()

    def apply(self, changes: Json) -> None:
        """Raises ValueError, in words for a person, and changes nothing."""
        if not isinstance(changes, dict) or changes.keys() - {"seed", "bus", "mail"}:
            raise ValueError("faults are a JSON object of 'seed', 'bus' and 'mail'")
        bus, mail, seed = changes.get("bus", {}), changes.get("mail", {}), changes.get("seed")
        if not isinstance(bus, dict) or not isinstance(mail, dict):
            raise ValueError("'bus' and 'mail' are objects")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ValueError(f"'seed' is a whole number; found {seed!r}")
        changed = self._pubsub.plan.faults.changed(bus)
        self._sendgrid.faults.change(mail)
        self._pubsub.plan.faults = changed
        if seed is not None:
            self._pubsub.plan.generator.seed(seed)
            self._sendgrid.generator.seed(seed)

    def _document(self) -> web.Response:
        document: JsonObject = {
            "bus": self._pubsub.plan.faults.document(),
            "mail": self._sendgrid.faults.document(),
        }
        return web.Response(body=to_json(document).encode(), content_type="application/json")
