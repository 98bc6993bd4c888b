from collections.abc import Collection, Mapping, Sequence

from shared.errors import Temporary, Unanswered
from shared.fetch import Fetched, NameBlocked, Outgoing
from shared.outgoing.allowed_urls import address_of, blocked_kind
from shared.outgoing.guarded_fetch import verified_target


class FakeFetch:
    """Answers what stands under a request's URL, by the rules of the real one, and keeps what was asked.

    `names` are the addresses of hosts that have others than a public one. What has no answer is out of reach.
    `mute` are URLs that take a request and never answer it.
    """

    def __init__(
        self,
        answers: dict[str, Fetched] | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
        mute: Collection[str] = (),
    ) -> None:
        self.answers = dict(answers or {})
        self.names = dict(names or {})
        self.mute = mute
        self.asked: list[Outgoing] = []

    async def fetch(self, request: Outgoing) -> Fetched:
        target = verified_target(request)
        for text in self.names.get(target.host, ()):
            address = address_of(text)
            if address is None or blocked_kind(address, request.allow_private):
                raise NameBlocked(f"{target.host} has an address that is not public")
        self.asked.append(request)
        if request.url in self.mute:
            raise Unanswered("host_unreachable", f"{target.host} did not answer within {request.timeout_seconds:g} s")
        answer = self.answers.get(request.url)
        if answer is None:
            raise Temporary("host_unreachable", f"{target.host} refused the connection")
        is_cut = len(answer.body) > request.max_bytes
        return Fetched(answer.status, answer.headers, answer.body[: request.max_bytes], is_cut or answer.is_cut)
