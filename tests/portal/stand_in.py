"""An API as the portal's page calls it, in memory: its answers are made of the API's own models.

An endpoint whose URL has `broken` in it answers 500 to what it gets.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from functions.subscribe.models.access import PortalInfo, PortalLimits
from functions.subscribe.models.base import Fault, Input, Page, Problem
from functions.subscribe.models.deliveries import (
    AttemptView,
    DeliveryDetail,
    DeliveryView,
    RecoverInput,
    Replayed,
    ReplayInput,
    RequestView,
    Resent,
)
from functions.subscribe.models.endpoints import (
    AuthInput,
    AuthView,
    DisabledView,
    EndpointChange,
    EndpointCreated,
    EndpointInput,
    EndpointView,
    PreviousSecret,
    SecretRotation,
    SecretView,
    TestInput,
    TestSent,
)
from functions.subscribe.models.event_types import EventTypeView
from functions.subscribe.problems import TITLES
from shared.subscribers.model import Capability
from tests.emulation import ROOT
from tests.portal.documented import assert_documented

PAGE: Final = ROOT / "functions/subscribe/page"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW: Final = "2026-03-01T12:00:00Z"
LATER: Final = "2026-03-02T12:00:00Z"
KINDS: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
POLICY: Final = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https:"
CAPABILITIES: Final[Mapping[str, list[Capability]]] = {
    "all": ["view", "manage", "reveal_secret", "resend"],
    "usual": ["view", "manage", "resend"],
    "view": ["view"],
}
"""By token. Any other token is not valid."""
PREFIX: Final = "/hooks"
"""The page works behind any path."""

Taken = TypeVar("Taken", bound=Input)
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Rejected(Exception):
    """The request gets this problem."""

    def __init__(self, status: int, code: str, detail: str, errors: list[Fault] | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(title=TITLES[status], status=status, code=code, detail=detail, errors=errors or [])


def endpoint_of(number: int, url: str = "https://example.com/in", **changes: object) -> EndpointView:
    values: dict[str, object] = {
        "id": f"ep_{number:020d}",
        "url": url,
        "description": "",
        "types": [],
        "filter": "",
        "headers": {},
        "fields": {},
        "auth": AuthView(kind="standard", username="", header="", prefix="", encoding="hex"),
        "rate": "",
        "enabled": True,
        "verified": True,
        "disabled": None,
        "failing_since": None,
        "filter_fault": "",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return EndpointView.model_validate(values | changes)


def type_of(name: str, group: str = "", **changes: object) -> EventTypeView:
    values: dict[str, object] = {
        "name": name,
        "description": f"About {name}",
        "group": group,
        "schema": {"type": "object"},
        "examples": [{"id": "o-1", "amount": 12}],
        "deprecated": False,
        "source": "configuration",
    }
    return EventTypeView.model_validate(values | changes)


@dataclass
class StandIn:
    """What the API has, and in `calls` which requests came: method, path, and for what is posted the body."""

    endpoints: dict[str, EndpointView] = field(default_factory=dict)
    types: list[EventTypeView] = field(default_factory=list)
    deliveries: list[DeliveryDetail] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    recoverable: int = 0
    page_of_recovery: int = 100
    verify: str = "none"
    name: str = "Acme"
    origins: str = ""
    expires_at: str = "2126-01-01T00:00:00Z"
    revoked: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, bytes]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    delivery_number: int = 0

    def add(self, endpoint: EndpointView) -> EndpointView:
        self.endpoints[endpoint.id] = endpoint
        return endpoint

    def deliver(self, endpoint: EndpointView, type: str, state: str = "delivered", **changes: object) -> DeliveryDetail:
        self.delivery_number += 1
        values: dict[str, object] = {
            "id": f"delivery-{self.delivery_number:020d}",
            "message_id": f"message-{self.delivery_number}",
            "event_id": f"event-{self.delivery_number}",
            "type": type,
            "endpoint": endpoint.id,
            "state": state,
            "attempt_number": 0 if state == "pending" else 1,
            "reason": "",
            "created_at": NOW,
            "updated_at": NOW,
            "next_attempt_at": None,
            "request": RequestView(
                method="POST", url=endpoint.url, headers={"webhook-id": "m-1"}, body='{"type":"order.paid"}'
            ),
            "attempts": [],
        }
        made = DeliveryDetail.model_validate(values | changes)
        self.deliveries.insert(0, made)
        return made

    def settle(self, delivery: DeliveryDetail) -> DeliveryDetail:
        """Return the delivery after its next attempt."""
        is_broken = "broken" in self.endpoints[delivery.endpoint].url
        number = delivery.attempt_number + 1
        reason = "the endpoint answered 500" if is_broken else ""
        attempt = AttemptView(
            number=number,
            started_at=NOW,
            duration_ms=41,
            outcome="retry_scheduled" if is_broken else "delivered",
            reason=reason,
            answer="Traceback: no database" if is_broken else "ok",
        )
        settled = delivery.model_copy(
            update={
                "state": "waiting" if is_broken else "delivered",
                "attempt_number": number,
                "reason": reason,
                "attempts": [*delivery.attempts, attempt],
                "next_attempt_at": LATER if is_broken else None,
            }
        )
        self.deliveries[self.deliveries.index(delivery)] = settled
        return settled


class Api:
    """The routes that the page uses."""

    def __init__(self, state: StandIn) -> None:
        self.state = state

    def app(self) -> web.Application:
        app = web.Application()
        for path in ("/portal", r"/portal/{name:[a-z_]+\.[a-z]+}"):
            app.router.add_get(PREFIX + path, self.file)
        tenant = "/v1/tenants/{tenant}"
        endpoint = f"{tenant}/endpoints/{{endpoint}}"
        delivery = f"{tenant}/deliveries/{{delivery}}"
        routes: list[tuple[str, str, Capability, Handler]] = [
            ("GET", "/v1/portal-info", "view", self.info),
            ("GET", "/v1/event-types", "view", self.event_types),
            ("GET", f"{tenant}/endpoints", "view", self.list_endpoints),
            ("POST", f"{tenant}/endpoints", "manage", self.create),
            ("GET", endpoint, "view", self.get_endpoint),
            ("PATCH", endpoint, "manage", self.change),
            ("DELETE", endpoint, "manage", self.delete),
            ("POST", f"{endpoint}/enable", "manage", self.enable),
            ("POST", f"{endpoint}/disable", "manage", self.disable),
            ("POST", f"{endpoint}/verify", "manage", self.verify),
            ("POST", f"{endpoint}/test", "manage", self.test),
            ("GET", f"{endpoint}/secret", "reveal_secret", self.secret),
            ("POST", f"{endpoint}/secret/rotate", "manage", self.rotate),
            ("GET", f"{endpoint}/deliveries", "view", self.list_deliveries),
            ("POST", f"{endpoint}/recover", "resend", self.recover),
            ("POST", f"{endpoint}/replay", "resend", self.replay),
            ("GET", f"{tenant}/deliveries", "view", self.list_deliveries),
            ("GET", delivery, "view", self.get_delivery),
            ("POST", f"{delivery}/resend", "resend", self.resend),
        ]
        for method, path, capability, handler in routes:
            app.router.add_route(method, PREFIX + path, self._checked(path, capability, handler))
        return app

    async def file(self, request: web.Request) -> web.Response:
        path: Path = PAGE / request.match_info.get("name", "index.html")
        if path.suffix not in KINDS or not path.is_file():
            raise web.HTTPNotFound
        policy = f"{POLICY}; frame-ancestors {self.state.origins or chr(39) + 'none' + chr(39)}"
        headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        return web.Response(body=path.read_bytes(), content_type=KINDS[path.suffix], charset="utf-8", headers=headers)

    def _checked(self, path: str, capability: Capability, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            body = await request.read()
            self.state.calls.append((request.method, request.path.removeprefix(PREFIX), body))
            self.state.queries.append(request.query_string)
            try:
                self._authorize(request, capability)
                response = await handler(request)
            except Rejected as rejected:
                problem = rejected.problem
                response = _json(problem, problem.status, "application/problem+json")
            assert isinstance(response.body, bytes | None)
            assert_documented(request.method, path, response.status, response.body or b"")
            return response

        return answer

    def _authorize(self, request: web.Request, capability: Capability) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in CAPABILITIES or token in self.state.revoked:
            raise Rejected(401, "not_authenticated", "the token has expired")
        if capability not in CAPABILITIES[token]:
            raise Rejected(403, "not_allowed", f"this needs a portal token with the capability '{capability}'")
        if request.match_info.get("tenant", "acme") != "acme":
            raise Rejected(404, "not_found", "there is no such tenant")

    async def info(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        limits = PortalLimits(endpoints=20, headers=10, fields=20, types=50, filter_characters=500)
        info = PortalInfo(
            name=self.state.name,
            logo="",
            capabilities=CAPABILITIES[token],
            tenant="acme",
            limits=limits,
            verify=self.state.verify,
            expires_at=self.state.expires_at,
        )
        return _json(info)

    async def event_types(self, request: web.Request) -> web.Response:
        items, following = _page(request, self.state.types)
        return _json(Page[EventTypeView](items=items, next=following))

    async def list_endpoints(self, request: web.Request) -> web.Response:
        items, following = _page(request, list(self.state.endpoints.values()))
        return _json(Page[EndpointView](items=items, next=following))

    async def create(self, request: web.Request) -> web.Response:
        given = await _taken(request, EndpointInput)
        self._check(given.url, given.headers)
        made = endpoint_of(len(self.state.endpoints) + 1, **given.model_dump(exclude={"secret", "enabled", "auth"}))
        is_verified = self.state.verify == "none"
        made = made.model_copy(update={"auth": _auth(given.auth), "enabled": given.enabled, "verified": is_verified})
        self.state.add(made)
        self.state.secrets[made.id] = given.secret or SECRET
        created = EndpointCreated.model_validate({**made.model_dump(), "secret": self.state.secrets[made.id]})
        return _json(created, 201, etag=_etag(made))

    async def get_endpoint(self, request: web.Request) -> web.Response:
        found = self._endpoint(request)
        return _json(found, etag=_etag(found))

    async def change(self, request: web.Request) -> web.Response:
        found = self._endpoint(request)
        given = await _taken(request, EndpointChange)
        if request.headers.get("If-Match", _etag(found)) != _etag(found):
            raise Rejected(412, "version_mismatch", "the endpoint was changed since it was read")
        self._check(given.url or found.url, given.headers or {})
        changes = given.model_dump(exclude_none=True, exclude={"secret", "auth"})
        if given.auth:
            changes["auth"] = _auth(given.auth)
        return self._kept(found, changes)

    async def delete(self, request: web.Request) -> web.Response:
        del self.state.endpoints[self._endpoint(request).id]
        return web.Response(status=204)

    async def enable(self, request: web.Request) -> web.Response:
        return self._kept(self._endpoint(request), {"enabled": True, "disabled": None, "failing_since": None})

    async def disable(self, request: web.Request) -> web.Response:
        disabled = DisabledView(by="tenant", reason="", at=NOW)
        return self._kept(self._endpoint(request), {"enabled": False, "disabled": disabled})

    async def verify(self, request: web.Request) -> web.Response:
        found = self._endpoint(request)
        if "broken" in found.url:
            raise Rejected(422, "verification_failed", "the endpoint answered 500 to the challenge")
        return self._kept(found, {"verified": True})

    async def test(self, request: web.Request) -> web.Response:
        given = await _taken(request, TestInput)
        made = self.state.deliver(self._endpoint(request), given.type, "pending", test=True)
        assert made.message_id is not None
        return _json(TestSent(message_id=made.message_id, delivery_id=made.id), 202)

    async def secret(self, request: web.Request) -> web.Response:
        found = self._endpoint(request)
        return _json(SecretView(secret=self.state.secrets[found.id], previous=[], created_at=NOW))

    async def rotate(self, request: web.Request) -> web.Response:
        await _taken(request, SecretRotation)
        self.state.secrets[self._endpoint(request).id] = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        previous = [PreviousSecret(valid_until=LATER)]
        return _json(SecretView(secret="whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", previous=previous, created_at=NOW))

    async def list_deliveries(self, request: web.Request) -> web.Response:
        wanted = [
            each
            for each in self.state.deliveries
            if request.match_info.get("endpoint", each.endpoint) == each.endpoint
            and request.query.get("state", each.state) == each.state
            and request.query.get("type", each.type) == each.type
            and any(text.startswith(request.query.get("search", "")) for text in (each.event_id, each.type))
        ]
        items, following = _page(request, wanted)
        views = [DeliveryView(**each.model_dump(exclude={"request", "attempts"})) for each in items]
        return _json(Page[DeliveryView](items=views, next=following))

    async def get_delivery(self, request: web.Request) -> web.Response:
        """A delivery that is pending was attempted when it is asked for."""
        found = self._delivery(request)
        return _json(self.state.settle(found) if found.state == "pending" else found)

    async def resend(self, request: web.Request) -> web.Response:
        found = self._delivery(request)
        self.state.deliveries[self.state.deliveries.index(found)] = found.model_copy(update={"state": "pending"})
        return _json(Resent(id=found.id, replay_id="replay-1"), 202)

    async def recover(self, request: web.Request) -> web.Response:
        return self._sent_again(await _taken(request, RecoverInput))

    async def replay(self, request: web.Request) -> web.Response:
        return self._sent_again(await _taken(request, ReplayInput))

    def _sent_again(self, given: RecoverInput) -> web.Response:
        start = int(given.cursor or "0")
        count = min(self.state.page_of_recovery, self.state.recoverable - start)
        is_more = start + count < self.state.recoverable
        following = str(start + count) if is_more else None
        return _json(Replayed(count=count, is_more=is_more, id="replay-1", next=following))

    def _endpoint(self, request: web.Request) -> EndpointView:
        if (found := self.state.endpoints.get(request.match_info["endpoint"])) is None:
            raise Rejected(404, "not_found", "there is no such endpoint")
        return found

    def _delivery(self, request: web.Request) -> DeliveryDetail:
        wanted = request.match_info["delivery"]
        if (found := next((each for each in self.state.deliveries if each.id == wanted), None)) is None:
            raise Rejected(404, "not_found", "there is no such delivery")
        return found

    def _kept(self, found: EndpointView, changes: Mapping[str, object]) -> web.Response:
        changed = self.state.add(found.model_copy(update=changes))
        return _json(changed, etag=_etag(changed))

    def _check(self, url: str, headers: Mapping[str, str]) -> None:
        errors = []
        if not url.startswith("https://"):
            errors.append(Fault(path="/url", rule="must begin with https://"))
        errors += [Fault(path=f"/headers/{name}", rule="is set by Hookchain") for name in headers if name == "Host"]
        if errors:
            raise Rejected(422, "invalid_value", f"{errors[0].path}: {errors[0].rule}", errors)


Item = TypeVar("Item")


def _page(request: web.Request, items: list[Item]) -> tuple[list[Item], str | None]:
    start, limit = int(request.query.get("cursor", "0")), int(request.query.get("limit", "50"))
    end = start + limit
    return items[start:end], str(end) if end < len(items) else None


async def _taken(request: web.Request, model: type[Taken]) -> Taken:
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        faults = [Fault(path="/" + "/".join(map(str, each["loc"])), rule=each["msg"]) for each in error.errors()]
        raise Rejected(422, "invalid_value", f"{faults[0].path}: {faults[0].rule}", faults) from error


def _json(value: BaseModel, status: int = 200, kind: str = "application/json", etag: str = "") -> web.Response:
    headers = {"Cache-Control": "no-store"} | ({"ETag": etag} if etag else {})
    body = value.model_dump_json(by_alias=True).encode()
    return web.Response(status=status, body=body, content_type=kind, headers=headers)


def _auth(given: AuthInput) -> AuthView:
    return AuthView(**given.model_dump())


def _etag(endpoint: EndpointView) -> str:
    return f'"{hash(endpoint.model_dump_json()):x}"'
