from collections.abc import Mapping
from types import MappingProxyType

from functions.notify.recipients.people import Directory, Listed, Person
from functions.notify.recipients.recipient import Recipients
from shared.errors import Temporary
from tests.fakes.blobs import FakeBlobs

ANNA = Person(
    "anna",
    email="anna@example.com",
    phone="+447700900123",
    push="token-of-anna",
    chats={"slack": "U0ANNA", "telegram": "4711"},
    timezone="Europe/Berlin",
    language="de-DE",
)
BOB = Person("bob", email="bob@example.com")
LISTED = (Listed(ANNA, ("Anna-Login",), {"github": ("anna-gh",)}), Listed(BOB, ("583231",)))


class FakePeople:
    """Reads the listed people; while `fault` is set, the list cannot be read. `providers` are those of the sources."""

    def __init__(self, *listed: Listed, providers: Mapping[str, str] = MappingProxyType({"web": "github"})) -> None:
        self.fault = ""
        self._list = Directory(listed or LISTED, providers)

    async def __call__(self) -> Directory:
        if self.fault:
            raise Temporary("people_unavailable", self.fault)
        return self._list


def recipients_of(*listed: Listed, blobs: FakeBlobs | None = None) -> Recipients:
    return Recipients(FakePeople(*listed), blobs or FakeBlobs())
