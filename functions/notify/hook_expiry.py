"""The webhooks of sources that expire at their providers: renewed in time, and an alert days before one expires.

`hookchain hooks` registers them, and remembers the id and the expiry of each in a document of its source. The sweep has
this done beside its rows. notify has a provider's token for the sources with `renew: true` only.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from functions.notify.alerts.alert import Alert, read_record, time_in
from shared.errors import HookchainError, Permanent, Temporary
from shared.fetch import Fetch, Outgoing
from shared.jsontext import JsonObject, from_json, mapping_at, mappings_at, texts_json, value_at
from shared.logs import log
from shared.ports import Clock, Secrets
from shared.retention import DAY_SECONDS
from shared.store_ports import Documents, Kept, Records
from shared.times import rfc3339, unix_seconds

if TYPE_CHECKING:
    from functions.notify.alerts.publisher import AlertPublisher

PARTITION: Final = "hooks"
"""The documents of `hookchain hooks`, one a source."""
EVERY_SECONDS: Final = 3_600.0
RENEW_SECONDS: Final = 5.0 * DAY_SECONDS
"""A hook that expires sooner is renewed."""
SOON_SECONDS: Final = 2.0 * DAY_SECONDS
"""A hook that expires sooner is not being renewed: it makes an alert."""
PUBLISHED: Final = "alerts:hooks"
"""The record with the expiry of each hook about which an alert was published."""
KEPT_SECONDS: Final = 60.0 * DAY_SECONDS


class _Hook(NamedTuple):
    """A registered hook, and when it expires (Unix seconds)."""

    source: str
    at: str
    expires_at: float

    @property
    def name(self) -> str:
        return f"{self.source} {self.at}"


class HookExpiry:
    """`renewals`, by source, are the requests that renew its hooks, as the compiler wrote them:

    secret   the name of the provider's token
    urls     by the place of the hook, with `{id}` for its id
    headers  with `{token}` for the token
    expiry   the field of the answer that has the new expiry

    One is empty where nothing renews the hooks. `alerts`: None if nobody gets any. `records` is called at first use.
    """

    def __init__(
        self,
        renewals: Mapping[str, JsonObject],
        documents: Documents,
        fetch: Fetch,
        secrets: Secrets,
        clock: Clock,
        alerts: "AlertPublisher | None",
        records: Callable[[], Records],
    ) -> None:
        self._renewals = renewals
        self._documents = documents
        self._fetch = fetch
        self._secrets = secrets
        self._clock = clock
        self._alerts = alerts
        self._records = records

    async def check(self) -> None:
        """Renew the hooks that expire in days, and publish an alert about those that are not renewed.

        A hook that cannot be renewed is a line in the log. Raises Temporary.
        """
        found = await asyncio.gather(*(self._renewed_hooks(source) for source in self._renewals))
        soon = self._clock.now() + SOON_SECONDS
        if expiring := [each for hooks in found for each in hooks if each.expires_at < soon]:
            await self._publish(expiring)

    async def _renewed_hooks(self, source: str) -> list[_Hook]:
        """Return the hooks of the source that expire, after the renewals. Raises Temporary."""
        document = await self._documents.get(PARTITION, source)
        row = read_record(document.text if document else None)
        hooks = mappings_at(row, "hooks")
        now = self._clock.now()
        is_locked = (time_in(mapping_at(row, "lock"), "until") or 0.0) > now
        renewal = {} if is_locked else self._renewals[source]
        soon = [at for at, hook in hooks.items() if 0 < _expires_at(hook) < now + RENEW_SECONDS]
        due = [at for at in soon if not hooks[at].get("stage")]  # the others are being created
        if document and renewal and due:
            ends = await asyncio.gather(*(self._renew(source, renewal, at, str(hooks[at]["id"])) for at in due))
            renewed = {at: end for at, end in zip(due, ends, strict=True) if end is not None}
            hooks = {at: {**hook, "expires_at": renewed.get(at, _expires_at(hook))} for at, hook in hooks.items()}
            if renewed:
                # If a command has changed the document meanwhile, the next check renews the hook again.
                text = texts_json({**row, "hooks": dict(hooks)}).decode()
                await self._documents.write(PARTITION, source, text, document.version)
        return [_Hook(source, at, _expires_at(hook)) for at, hook in hooks.items() if _expires_at(hook)]

    async def _renew(self, source: str, renewal: JsonObject, at: str, id: str) -> float | None:
        """Return the new expiry; None if the hook could not be renewed."""
        try:
            expires_at = await self._ask(renewal, at, id)
        except (HookchainError, ValueError, RecursionError) as error:
            fault = error if isinstance(error, HookchainError) else Permanent("malformed_response", "it has no expiry")
            detail = f"{at}: {fault.detail}"
            log("WARNING", "webhook not renewed", function="notify", source=source, code=fault.code, detail=detail)
            return None
        detail = f"{at}: it expires at {rfc3339(expires_at)}"
        log("INFO", "webhook renewed", function="notify", source=source, detail=detail)
        return expires_at

    async def _ask(self, renewal: JsonObject, at: str, id: str) -> float:
        """Return the new expiry. Raises HookchainError and ValueError."""
        url = value_at(renewal, "urls", at)
        if not isinstance(url, str):
            raise Permanent("request_rejected", "its place is not in the configuration any more")
        token = (await self._secrets.values(str(renewal["secret"])))[0]
        headers = [(name, str(text).format(token=token)) for name, text in mapping_at(renewal, "headers").items()]
        request = Outgoing(
            str(renewal["method"]),
            url.format(id=quote(id, safe="")),
            tuple(headers),
            may_repeat=True,
            allow_private=renewal["allow_private"] is True,
        )
        answer = await self._fetch.fetch(request)
        text = f"the provider answered {answer.status}"
        if answer.status == 429 or answer.status >= 500:
            raise Temporary("host_unavailable", text)
        if not 200 <= answer.status < 300:
            raise Permanent("request_rejected", text)
        return unix_seconds(str(value_at(from_json(answer.body), str(renewal["expiry"]))))

    async def _publish(self, expiring: list[_Hook]) -> None:
        """Publish an alert about each hook, once for each of its expiries. Raises Temporary."""
        if self._alerts is None:
            return
        records, now = self._records(), self._clock.now()
        published = read_record(await records.read(PUBLISHED))
        fresh = [each for each in expiring if published.get(each.name) != each.expires_at]
        for each in fresh:
            await self._alerts.publish(_alert(each, now, self._alerts.where), self._alerts.settings.to)
        if fresh:
            noted: JsonObject = {each.name: each.expires_at for each in expiring}
            kept = Kept(texts_json(noted).decode(), now + KEPT_SECONDS)
            await records.change(PUBLISHED, now, lambda _: (None, kept))


def _alert(hook: _Hook, now: float, where: str) -> Alert:
    expiry = rfc3339(hook.expires_at)
    return Alert(
        kind="hook_expires",
        key=f"{hook.name}:{hook.expires_at!r}",
        at=now,
        about=hook.source,
        reason=f"its webhook at {hook.at} expires at {expiry}, after which the provider sends no events",
        command=f"hookchain hooks apply {hook.source}{where}",
        details={"expires_at": expiry},
    )


def _expires_at(hook: JsonObject) -> float:
    """Return when the hook expires; 0 if it does not, or if that is not known."""
    return time_in(hook, "expires_at") or 0.0
