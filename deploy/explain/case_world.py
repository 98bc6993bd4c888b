"""What a test's steps ask: answers that the test holds, and secrets that are made up."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.config.models.case import CaseAnswer
from deploy.explain.case_inputs import AT
from functions.transform.step import Services
from shared.errors import Permanent
from shared.jsontext import to_json
from shared.ports import Fetched, Outgoing


@dataclass(frozen=True, slots=True)
class WrittenAnswers:
    """An answer stands for its URL, whatever parameters with secrets follow."""

    answers: Mapping[str, CaseAnswer]

    async def fetch(self, request: Outgoing) -> Fetched:
        for url, answer in self.answers.items():
            if request.url == url or request.url.startswith((f"{url}?", f"{url}&")):
                return _fetched(answer)
        host = request.url.split("/")[2]
        raise Permanent("fetch", f"the test has no answer of {host} under this URL: write it under `answers`")


class MadeUpSecrets:
    """Each name has one value, always the same, that any step can use as a key."""

    async def values(self, name: str) -> tuple[str, ...]:
        return (b64encode(hashlib.sha256(name.encode()).digest()).decode(),)


class Owners:
    """Within one test."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    async def owner(self, key: str, event_id: str, _: float, __: float) -> str:
        return self._owners.setdefault(key, event_id)


def services_of(answers: Mapping[str, CaseAnswer]) -> Services:
    return Services(MadeUpSecrets(), WrittenAnswers(answers), Owners(), None, _identity, lambda: AT)


async def _identity(_: str) -> str:
    return "an-identity"


def _fetched(answer: CaseAnswer) -> Fetched:
    body = answer.body if isinstance(answer.body, str) else to_json(answer.body)
    headers = tuple((name.lower(), value) for name, value in answer.headers.items())
    return Fetched(answer.status, headers, b"" if answer.body is None else body.encode())
