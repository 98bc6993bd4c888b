"""A function on the local Lambda, as one process: its execution environments and what invokes them.

    receive    its Function URL, and the pollers of the queues that stand for the buses of sources
    transform  the poller of events
    notify     the pollers of deliveries, of dead letters and of what SQS gave up on, and the sweep
    all        Lambda's Invoke API, at /2015-03-31/functions/<any name>/invocations

`serve` is the process, and `Front` is its HTTP side. A Function URL exchanges JSON documents with its function: an
event for the HTTP request (`event_of`), and a result for the HTTP response (`response_of`).

`python -m deploy.dev.aws.function --function receive --port 8080 --timeout 30`
"""

import argparse
import asyncio
import base64
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from multidict import CIMultiDict

from deploy.config import checkout, probe
from deploy.dev import local_server
from deploy.dev.aws import stack
from deploy.dev.aws.environments import MAX_PAYLOAD_BYTES, Handler, InvocationFailed, Pool, find_tools
from deploy.dev.aws.poller import Poller
from deploy.dev.faults import PATH as FAULTS_PATH, FaultPlan, FaultRoutes
from deploy.terminal.command_line import CommandError
from deploy.topology.functions import FUNCTIONS
from shared import logs, ports, settings
from shared.cloud.aws.client import AwsPlace
from shared.jsontext import Json, JsonObject, from_json, list_at, mapping_at, texts_json, to_json
from shared.secrets import variable_name

CONCURRENCY: Final = 2
"""The most execution environments of the function."""
POLLERS: Final = 2
"""The pollers of a busy queue: while one waits for an environment, the other receives."""
SWEEP_SECONDS: Final = 1.0
SWEEP_EVENT: Final = b'{"sweep": true}'
POLL_SECONDS: Final = 0.1
END_SECONDS: Final = 2.0
LINGER_SECONDS: Final = 0.25
"""How long open connections are served after no new one is accepted: a request may be on its way."""
MAX_DETAIL: Final = 500
MAX_HEADER_BYTES: Final = 32_768
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
INVOKE_API: Final = "/2015-03-31/functions/{name}/invocations"
OWN_PATHS: Final = ("/robots.txt", "/favicon.ico")
"""The paths that functions-framework, on Google Cloud, also answers without the function."""
PUBLIC: Final = frozenset(each.name for each in FUNCTIONS if each.is_public)
DOMAIN: Final = "local.lambda-url.localhost"
ACCOUNT: Final = "anonymous"
"""The account of a caller without AWS credentials."""
TEXT_TYPES: Final = frozenset({"application/json", "application/javascript", "application/xml"})
"""The types, besides `text/…`, of bodies that a Function URL passes on as text. It passes on any other in base64."""
TOO_LARGE: Final = b'{"Message":"Request must be smaller than 6291556 bytes for the InvokeFunction operation"}'
JSON_TYPE: Final = ("content-type", "application/json")
RawHeaders = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The response that a Function URL sends."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Front:
    """The HTTP side of a function: the Invoke API, and the Function URL if `has_url`.

    `faults` are the faults on demand of the function's queues; None if it has no queues.
    """

    def __init__(self, pool: Pool, has_url: bool, faults: FaultPlan | None = None) -> None:
        self._pool = pool
        self._has_url = has_url
        self._faults = faults

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(INVOKE_API, self.invoke)
        if self._faults:
            app.router.add_post(FAULTS_PATH, self.change_faults)
        for path in OWN_PATHS:
            app.router.add_get(path, self.own_path)
        app.router.add_route("*", "/{path:.*}", self.request)
        return app

    async def own_path(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def change_faults(self, request: web.Request) -> web.Response:
        local_server.reject_pages(request)
        return await FaultRoutes(self._faults, None).change(request)

    async def invoke(self, request: web.Request) -> web.Response:
        """Answer Lambda's Invoke. As in Lambda, an error of the function is also a 200, with a header that marks it."""
        local_server.reject_pages(request)
        try:
            result = await self._pool.invoke(await request.read() or b"{}")
        except web.HTTPRequestEntityTooLarge:
            return _too_large()
        except InvocationFailed as error:
            body = texts_json({"errorType": error.error, "errorMessage": error.message})
            headers = {"X-Amz-Function-Error": "Unhandled"}
            return web.Response(body=body, headers=headers, content_type="application/json")
        return web.Response(body=result, content_type="application/json")

    async def request(self, request: web.Request) -> web.Response:
        """Answer a request to the Function URL as Lambda does."""
        if not self._has_url:
            return web.Response(status=403, text='{"Message":"Forbidden"}', content_type="application/json")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _too_large()
        except ConnectionError:  # the sender is gone: Lambda would not call the function either
            return web.Response(status=400)
        event = texts_json(event_of(request.method, request.raw_path, request.raw_headers, body, request.remote or ""))
        if len(event) > MAX_PAYLOAD_BYTES:
            return _too_large()
        try:
            response = response_of(await self._pool.invoke(event))
        except (InvocationFailed, ValueError) as error:
            logs.log("ERROR", "invocation failed", function=self._pool.handler.name, detail=str(error)[:MAX_DETAIL])
            return web.Response(status=502, text="Internal Server Error")
        return web.Response(status=response.status, body=response.body, headers=CIMultiDict(response.headers))


def _too_large() -> web.Response:
    return web.Response(status=413, body=TOO_LARGE, content_type="application/json")


async def serve(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """Serve until a signal arrives. Raises CommandError, SliceFault and OSError."""
    stopped = local_server.stopped_by_signal()
    name = str(options.function)
    place = stack.place_at(environ["AWS_ENDPOINT_URL"])
    secrets = {each: environ[variable_name(each)] for each in options.secrets if variable_name(each) in environ}
    # As in Lambda, the handler reads its secrets from Secrets Manager, not from its environment.
    without_secrets = {key: value for key, value in environ.items() if key not in map(variable_name, secrets)}
    handler = Handler(name, f"functions.{name}.lambda_handler.handler", checkout.ROOT, without_secrets, options.timeout)
    pool = Pool(handler, find_tools(), CONCURRENCY)
    slice_file = settings.read_settings(environ).slice_file
    queues = stack.source_queues(settings.load_slice(name, slice_file)) if name == "receive" else ()
    try:
        await set_up(place, secrets, queues)
        faults = FaultPlan() if stack.QUEUES_OF[name] else None
        async with listen(Front(pool, name in PUBLIC, faults).app(), options.port):
            tasks = [asyncio.create_task(work) for work in background_work(name, pool, place, faults, queues)]
            await stopped.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await pool.close()


@asynccontextmanager
async def listen(app: web.Application, port: int) -> AsyncIterator[None]:
    """Serve the application while the block runs. Raises OSError if the port is taken.

    After the block, open connections are served for LINGER_SECONDS more, unless the block raises.
    """
    async with local_server.served(
        app, port, END_SECONDS, any_user=True, auto_decompress=False, max_header_bytes=MAX_HEADER_BYTES
    ) as site:
        yield
        await site.stop()
        await asyncio.sleep(LINGER_SECONDS)


def background_work(
    name: str,
    pool: Pool,
    place: AwsPlace,
    faults: FaultPlan | None = None,
    bus_queues: Sequence[stack.SourceQueue] = (),
) -> list[Coroutine[None, None, None]]:
    """Return what invokes the function besides HTTP requests: the pollers of its queues, and the sweep of notify."""
    plan = faults or FaultPlan()
    endpoint = place.endpoint or ""
    pollers = [
        Poller(name, pool.invoke, place, stack.queue_url(endpoint, queue), stack.queue_arn(queue), plan)
        for queue in stack.QUEUES_OF[name]
        for _ in range(POLLERS if queue in (ports.EVENTS, ports.DELIVERIES) else 1)
    ]
    pollers += [Poller(name, pool.invoke, place, queue.url(endpoint), queue.arn, plan) for queue in bus_queues]
    work = [poller.run() for poller in pollers]
    return [*work, sweep(pool)] if name == "notify" else work


async def sweep(pool: Pool) -> None:
    """Invoke the sweep again and again, as the scheduler does, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await pool.invoke(SWEEP_EVENT)
        except InvocationFailed as error:
            logs.log("ERROR", "the sweep failed", function=pool.handler.name, detail=str(error)[:MAX_DETAIL])


async def set_up(place: AwsPlace, secrets: Mapping[str, str], queues: Sequence[stack.SourceQueue]) -> None:
    """Store the function's secrets in Secrets Manager, and create its sources' queues.

    Waits for the local AWS, and tries again until both succeed.
    """
    await probe.wait_until_answering(urlsplit(place.endpoint or "").port or 0, "/favicon.ico")
    while True:
        with suppress(stack.TopologyFault, OSError):
            await stack.put_secrets(place, secrets)
            await stack.ensure_source_queues(place, queues)
            return
        await asyncio.sleep(POLL_SECONDS)


def event_of(method: str, target: str, raw_headers: RawHeaders, body: bytes, peer: str) -> JsonObject:
    """Return the event that a Function URL makes of a request, in the payload format 2.0.

    `target` is the path and the query as they were sent.
    https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
    """
    path, _, query = target.partition("?")
    headers, cookies = _headers_and_cookies(raw_headers)
    body_text = _body_text(body, headers.get("content-type", ""))
    now = time.time()
    event: JsonObject = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": dict(headers),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": DOMAIN.partition(".")[0],
            "domainName": DOMAIN,
            "domainPrefix": DOMAIN.partition(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": peer,
                "userAgent": headers.get("user-agent"),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": bool(body) and body_text is None,
    }
    if cookies:
        event["cookies"] = [*cookies]
    if parameters := _parameters(query):
        event["queryStringParameters"] = dict(parameters)
    if body:
        event["body"] = base64.b64encode(body).decode("ascii") if body_text is None else body_text
    return event


def response_of(result: bytes) -> HttpResponse:
    """Return the response that a Function URL makes of the handler's result, which is JSON.

    A result without `statusCode` is itself the body of a 200. Raises ValueError for a result that Lambda answers with
    502.
    """
    document: Json = from_json(result)
    if not isinstance(document, dict) or "statusCode" not in document:
        return HttpResponse(200, (JSON_TYPE,), document.encode() if isinstance(document, str) else result)
    status = int(str(document["statusCode"]))
    if not 200 <= status <= 599:
        raise ValueError(f"statusCode: must be from 200 to 599; got {status}")
    named = {name.lower(): str(value) for name, value in mapping_at(document, "headers").items()}
    headers = [*named.items()]
    if "content-type" not in named:
        headers.append(JSON_TYPE)
    headers += [("set-cookie", str(each)) for each in list_at(document, "cookies")]
    body = document.get("body") or ""
    text = body if isinstance(body, str) else to_json(body)
    content = base64.b64decode(text) if document.get("isBase64Encoded") is True else text.encode()
    return HttpResponse(status, tuple(headers), content)


def _headers_and_cookies(raw_headers: RawHeaders) -> tuple[dict[str, str], list[str]]:
    """Return the headers and the cookies. The values of a repeated header are joined by commas."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers, cookies


def _body_text(body: bytes, content_type: str) -> str | None:
    """Return the body as text; None if a Function URL passes it on in base64."""
    media_type = content_type.partition(";")[0].strip().lower()
    if not media_type.startswith("text/") and media_type not in TEXT_TYPES:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return parameters


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.aws.function", description="A function on Lambda.")
    parser.add_argument("--function", choices=sorted(stack.QUEUES_OF), required=True)
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    parser.add_argument("--timeout", type=int, required=True, help="the seconds that one invocation may take")
    parser.add_argument("--secrets", nargs="*", default=[], help="the function's secrets, whose values are variables")
    try:
        asyncio.run(serve(parser.parse_args(arguments), os.environ))
    except (CommandError, settings.SliceFault, OSError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
