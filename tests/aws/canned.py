"""An AWS service that answers as a test says, the last answer again and again; it keeps what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from shared.cloud.aws.client import AwsPlace
from tests.aws.local_aws import KEYS, REGION
from tests.gcp.serving import served


@dataclass(frozen=True, slots=True)
class Asked:
    """`path` is percent-encoded, as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Canned:
    answers: list[web.Response]
    place: AwsPlace
    asked: list[Asked] = field(default_factory=list)

    async def serve(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(request.method, request.rel_url.raw_path, headers, await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def json_error(status: int, error: str, message: str = "") -> web.Response:
    """Return an error as AWS's JSON protocols have it."""
    body = {"__type": f"com.amazonaws#{error}", "message": message}
    return web.json_response(body, status=status, headers={"x-amzn-ErrorType": f"{error}:http://internal.amazon.com/"})


def xml_error(status: int, code: str) -> web.Response:
    """Return an error as S3 has it."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>no</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


@asynccontextmanager
async def canned(*answers: web.Response) -> AsyncIterator[Canned]:
    made = Canned(list(answers), AwsPlace(REGION, lambda: KEYS))
    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", made.serve)
    with served(app) as host:
        made.place = AwsPlace(REGION, lambda: KEYS, f"http://{host}")
        yield made
        await asyncio.sleep(0)  # in which the connections of closed clients are gone
