"""The emulated cloud's own switches, over its HTTP interface."""

from typing import Final

import aiohttp

from shared.errors import Temporary
from shared.jsontext import Json, JsonObject

TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)


async def read_faults(apis_url: str) -> JsonObject:
    """Raises Temporary."""
    return await _ask(apis_url, "GET", None)


async def change_faults(apis_url: str, changes: JsonObject) -> JsonObject:
    """Raises Temporary."""
    return await _ask(apis_url, "POST", changes)


async def _ask(apis_url: str, method: str, body: Json) -> JsonObject:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.request(method, f"{apis_url}/emulator/faults", json=body) as answer,
        ):
            document: Json = await answer.json() if answer.status == 200 else None
            fault = f"the emulated APIs answered {answer.status}"
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Temporary("apis", f"the emulated APIs do not answer: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise Temporary("apis", fault)
    return document


def is_unplugged(faults: JsonObject) -> bool:
    mail = faults.get("mail")
    return isinstance(mail, dict) and mail.get("unplugged") is True
