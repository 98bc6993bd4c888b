"""Webhooks that expire at their providers: they are renewed in time, and an alert is published if that fails.

`hookchain hooks` registers the webhooks of a source and stores their ids and expiries in one document. The sweep calls
`HookExpiry.check` each hour. notify can read a provider's token only for sources with `renew: true`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from functions.notify.alerts.alert import Alert
from functions.notify.records import read_record, time_in
from shared import logs, ports, retention, store_ports, times
from shared.errors import HookchainError, Permanent, Temporary
from shared.fetch import Fetch, Outgoing
from shared.jsontext import JsonObject, from_json, mapping_at, mappings_at, texts_json, value_at

if TYPE_CHECKING:
    from functions.notify.alerts.publisher import AlertPublisher

PARTITION: Final = "hooks"
"""The documents of `hookchain hooks`, one for each source."""
EVERY_SECONDS: Final = 3_600.0
RENEW_SECONDS: Final = 5.0 * retention.DAY_SECONDS
"""A hook is renewed when it has less time left."""
SOON_SECONDS: Final = 2.0 * retention.DAY_SECONDS
"""An alert is published about a hook with less time left: its renewals have failed, or nothing renews it."""
ALERTS_RECORD: Final = "alerts:hooks"
"""The name of the record that has, by hook, the expiry about which an alert was published."""
KEPT_SECONDS: Final = 60.0 * retention.DAY_SECONDS
"""Once this record has expired, it no longer prevents a second alert about the same expiry."""


class _ExpiringHook(NamedTuple):
    """A registered hook that expires (Unix seconds). `place` is where the provider has it, such as `acme/shop`."""

    source: str
    place: str
    expires_at: float

    @property
    def name(self) -> str:
        return f"{self.source} {self.place}"


@dataclass(slots=True)
class HookExpiry:
    """The renewal of hooks that expire, and the alerts about them.

    `renewals` has, by source, the request that renews its hooks; an empty one if the source has no `renew: true`:

    method, allow_private  of the request
    secret                 the name of the provider's token
    urls                   by the place of a hook, with `{id}` for the hook's id
    headers                with `{token}` for the token
    expiry                 the field of the answer that has the new expiry

    `alerts` is None if nobody gets any. `records` opens the store when it is first called.
    """

    renewals: Mapping[str, JsonObject]
    documents: store_ports.Documents
    fetch: Fetch
    secrets: ports.Secrets
    clock: ports.Clock
    alerts: "AlertPublisher | None"
    records: Callable[[], store_ports.Records]

    async def check(self) -> None:
        """Renew the hooks that expire within RENEW_SECONDS. Publish alerts about those that still expire soon.

        A failed renewal is logged. Raises Temporary.
        """
        hooks_by_source = await asyncio.gather(*map(self._renew_hooks, self.renewals))
        soon = self.clock.now() + SOON_SECONDS
        expiring_soon = [hook for hooks in hooks_by_source for hook in hooks if hook.expires_at < soon]
        if expiring_soon:
            await self._publish_alerts(expiring_soon)

    async def _renew_hooks(self, source: str) -> list[_ExpiringHook]:
        """Renew the hooks of the source, and return all of them that expire. Raises Temporary."""
        document = await self.documents.get(PARTITION, source)
        content = read_record(document.text if document else None)
        hooks = mappings_at(content, "hooks")
        now = self.clock.now()
        locked_until = time_in(mapping_at(content, "lock"), "until") or 0.0
        renewal = self.renewals[source]
        if document and renewal and locked_until <= now:
            renewed = await self._renew_due(source, renewal, hooks, now)
            for place, expires_at in renewed.items():
                hooks[place] = {**hooks[place], "expires_at": expires_at}
            if renewed:
                # If a command has changed the document in the meantime, the next check renews the hooks again.
                text = texts_json({**content, "hooks": dict(hooks)}).decode()
                await self.documents.write(PARTITION, source, text, document.version)
        expiries = {place: _expires_at(hook) for place, hook in hooks.items()}
        return [_ExpiringHook(source, place, expires_at) for place, expires_at in expiries.items() if expires_at]

    async def _renew_due(
        self, source: str, renewal: JsonObject, hooks: Mapping[str, JsonObject], now: float
    ) -> dict[str, float]:
        """Return the new expiries, by place, of the hooks that were due and could be renewed."""
        due = [place for place, hook in hooks.items() if 0 < _expires_at(hook) < now + RENEW_SECONDS]
        # A hook without an id is being created. One that is being replaced has its id until the new hook is enabled.
        ids = {place: str(id) for place in due if (id := hooks[place].get("id"))}
        renewed = (self._renew(source, renewal, place, id, _expires_at(hooks[place])) for place, id in ids.items())
        expiries = await asyncio.gather(*renewed)
        return {place: expiry for place, expiry in zip(ids, expiries, strict=True) if expiry is not None}

    async def _renew(
        self, source: str, renewal: JsonObject, place: str, hook_id: str, former_expiry: float
    ) -> float | None:
        """Renew a hook and log the result. Return the new expiry; None if the renewal failed."""
        try:
            expires_at = await self._send_renewal(renewal, place, hook_id)
            if expires_at <= former_expiry:
                text = f"the provider answered, but it still expires at {times.rfc3339(expires_at)}"
                raise Permanent("malformed_response", text)
        except (HookchainError, ValueError, RecursionError) as error:
            fault = error if isinstance(error, HookchainError) else Permanent("malformed_response", "it has no expiry")
            detail = f"{place}: {fault.detail}"
            logs.log("WARNING", "webhook not renewed", function="notify", source=source, code=fault.code, detail=detail)
            return None
        detail = f"{place}: it expires at {times.rfc3339(expires_at)}"
        logs.log("INFO", "webhook renewed", function="notify", source=source, detail=detail)
        return expires_at

    async def _send_renewal(self, renewal: JsonObject, place: str, hook_id: str) -> float:
        """Return the new expiry. Raises HookchainError, and ValueError or RecursionError for an unreadable answer."""
        url = value_at(renewal, "urls", place)
        if not isinstance(url, str):
            raise Permanent("request_rejected", "its place is not in the configuration any more")
        token = (await self.secrets.values(str(renewal["secret"])))[0]
        headers = [(name, str(text).format(token=token)) for name, text in mapping_at(renewal, "headers").items()]
        request = Outgoing(
            method=str(renewal["method"]),
            url=url.format(id=quote(hook_id, safe="")),
            headers=tuple(headers),
            may_repeat=True,
            allow_private=renewal["allow_private"] is True,
        )
        answer = await self.fetch.fetch(request)
        text = f"the provider answered {answer.status}"
        if answer.status == 429 or answer.status >= 500:
            raise Temporary("host_unavailable", text)
        if not 200 <= answer.status < 300:
            raise Permanent("request_rejected", text)
        expiry = value_at(from_json(answer.body), str(renewal["expiry"]))
        return times.unix_seconds(str(expiry))

    async def _publish_alerts(self, hooks: list[_ExpiringHook]) -> None:
        """Publish one alert for each expiry of a hook. Raises Temporary."""
        if self.alerts is None:
            return
        records = self.records()
        now = self.clock.now()
        alerted_expiries = read_record(await records.read(ALERTS_RECORD))
        unalerted = [hook for hook in hooks if alerted_expiries.get(hook.name) != hook.expires_at]
        for hook in unalerted:
            await self.alerts.publish(_alert(hook, now, self.alerts.where), self.alerts.settings.to)
        if unalerted:
            expiries: JsonObject = {hook.name: hook.expires_at for hook in hooks}
            kept = store_ports.Kept(texts_json(expiries).decode(), now + KEPT_SECONDS)
            await records.change(ALERTS_RECORD, now, lambda _: (None, kept))


def _alert(hook: _ExpiringHook, now: float, where: str) -> Alert:
    """Return the alert about a hook. `where` has the options by which its command finds this deployment."""
    expiry = times.rfc3339(hook.expires_at)
    return Alert(
        kind="hook_expires",
        key=f"{hook.name}:{hook.expires_at!r}",
        at=now,
        about=hook.source,
        reason=f"its webhook at {hook.place} expires at {expiry}, after which the provider sends no events",
        command=f"hookchain hooks apply {hook.source}{where}",
        details={"expires_at": expiry},
    )


def _expires_at(hook: JsonObject) -> float:
    """Return when the hook expires (Unix seconds); 0 if it does not expire, or if its expiry is unknown."""
    return time_in(hook, "expires_at") or 0.0
