"""The local AWS, as one process on one port.

ministack answers the requests to AWS's services, except those to SES, whose mails are caught here. So are mails to
SendGrid and rows of Google Sheets, which functions on AWS send too.

It is ready once the queues, the bucket and the tables are there. ministack writes its state when it is stopped, so a
Ctrl-C keeps what waits; a kill of ministack itself loses it.

`python -m deploy.dev.aws.local_aws --port 8085 --state .hookchain`
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from deploy.config.local_ports import HOST
from deploy.dev import caught, faults, local_server
from deploy.dev.aws import environments, ses, stack
from deploy.dev.sendgrid import LOCK_POLL_SECONDS, SendGrid
from deploy.dev.sheets import EmulatedSheets
from deploy.terminal.command_line import CommandError
from shared import logs, settings
from shared.cloud.aws.tables import TABLES, create_request

FOLDER: Final = "aws"
MAX_BODY_BYTES: Final = 64 * 1024 * 1024
START_SECONDS: Final = 30.0
SHUTDOWN_SECONDS: Final = 0.2
"""The time that this server's open requests have to end."""
MINISTACK_STOP_SECONDS: Final = 7.0
"""Before ministack writes its state, it waits for the calls that are under way, such as a receive for 1 s."""
RECEIVE_MESSAGE: Final = "AmazonSQS.ReceiveMessage"
_WAIT: Final = re.compile(rb'("WaitTimeSeconds"\s*:\s*)[1-9][0-9]*')
POLL_SECONDS: Final = 0.05
HEALTH: Final = "/_ministack/health"
SERVICES: Final = "dynamodb,s3,secretsmanager,sqs,sts"
_HOP_BY_HOP_HEADERS: Final = frozenset(
    {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}
)


def with_short_wait(receive_request: bytes) -> bytes:
    """Return the request with a wait of 1 s, if it has one. A long poll would delay ministack's end by up to 20 s."""
    return _WAIT.sub(rb"\g<1>1", receive_request)


class Proxy:
    """A proxy that forwards requests to ministack."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"http://{HOST}:{port}"

    async def forward(self, request: web.Request) -> web.Response:
        headers = _end_to_end(request.headers)
        url = URL(self._base + request.raw_path, encoded=True)
        body = await request.read()
        if request.headers.get("X-Amz-Target") == RECEIVE_MESSAGE:
            body = with_short_wait(body)
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                kept = CIMultiDict(_end_to_end(answer.headers))
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise web.HTTPServiceUnavailable(text=f"ministack does not answer: {type(error).__name__}\n") from error


def _end_to_end(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the headers without those of one connection, which the proxy's other connection has of its own."""
    return [(name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP_HEADERS]


@asynccontextmanager
async def ministack(tools: environments.AwsTools, state: Path) -> AsyncIterator[int]:
    """Run ministack while the block runs; yield its port. Raises CommandError."""
    [port] = environments.free_ports(1)
    folder = state / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "ERROR",
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "SERVICES": SERVICES,
        "STATE_DIR": str(folder),
    }
    process = await asyncio.create_subprocess_exec(
        str(tools.local_aws),
        cwd=folder,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _wait_until_healthy(process, port)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), MINISTACK_STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _wait_until_healthy(process: asyncio.subprocess.Process, port: int) -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
        while process.returncode is None and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"http://{HOST}:{port}{HEALTH}"):
                    return
            await asyncio.sleep(POLL_SECONDS)
    raise CommandError("ministack does not start")


async def serve(port: int, state: Path) -> None:
    """Serve until a signal arrives. Raises CommandError, TopologyFault and OSError."""
    stopped = local_server.stopped_by_signal()
    table_requests = [create_request(table, stack.PREFIX) for table in TABLES]
    tools = environments.find_tools()
    with (
        contextlib.closing(caught.Mailbox(state, LOCK_POLL_SECONDS)) as mailbox,
        contextlib.closing(caught.SheetStore(state, LOCK_POLL_SECONDS)) as sheets,
    ):
        async with (
            ministack(tools, state) as inner_port,
            aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60.0)) as session,
        ):
            await stack.ensure(stack.place_at(f"http://{HOST}:{inner_port}"), table_requests)
            sendgrid = SendGrid(mailbox)
            app = web.Application(middlewares=[local_server.no_pages], client_max_size=MAX_BODY_BYTES)
            app.add_routes(faults.FaultRoutes(bus=None, mail=sendgrid.faults).routes())
            app.add_subapp("/v2", ses.Ses(sendgrid).app())
            app.add_subapp("/v3", sendgrid.app())
            app.add_subapp("/v4", EmulatedSheets(sheets, state).app())
            app.router.add_route("*", "/{path:.*}", Proxy(session, inner_port).forward)
            async with local_server.served(app, port, SHUTDOWN_SECONDS, auto_decompress=False):
                logs.log("INFO", f"the local AWS answers on http://{HOST}:{port}")
                await stopped.wait()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.aws.local_aws", description="The local AWS.")
    parser.add_argument("--port", type=int, required=True, help="the port on 127.0.0.1")
    parser.add_argument(
        "--state", type=Path, default=Path(settings.DEFAULT_STATE), help="the folder of its state and mail.db"
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(options.port, options.state))
    except (CommandError, stack.TopologyFault, OSError) as fault:
        sys.stderr.write(f"local_aws: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
