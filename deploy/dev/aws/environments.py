"""The execution environments of a function on the local Lambda.

An environment is a process of AWS's runtime interface emulator, which starts the Python process that runs the handler
(the runtime) and passes invocations to it over HTTP. As on Lambda, an environment takes one invocation at a time. It is
started when an invocation finds no idle one, and stays for the next. The emulator kills a runtime that exceeds its
timeout, and starts another one for the next invocation. The emulator ends if it gets two invocations at once, so only
the pool calls it.
"""

import asyncio
import contextlib
import ctypes
import platform
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from deploy.config.local_ports import HOST
from deploy.dev.aws import runtime
from deploy.terminal.command_line import CommandError
from shared.jsontext import json_or_none, mapping_at
from shared.outgoing.http_client import Answer, HttpClient

FOLDER: Final = Path(sys.prefix) / "aws"
"""The virtual environment of the tools. It is separate, because their dependencies would conflict with ours."""
_EMULATOR_MACHINES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
"""The machine in the name of the emulator's file, by the names that operating systems give it."""
INVOKE_PATH: Final = "/2015-03-31/functions/function/invocations"
MAX_PAYLOAD_BYTES: Final = 6_291_556
"""The most that Lambda and the emulator take and return in one invocation: 6 MiB and 100 bytes."""
START_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.02
SPARE_SECONDS: Final = 20.0
"""How much longer than the handler's timeout an invocation may take: it begins with the start of a runtime."""
LINE_BYTES: Final = 1_048_576
MAX_ERROR_BYTES: Final = 300_000
"""The longest error in JSON: the runtime cuts an error at 256 KB."""
PR_SET_PDEATHSIG: Final = 1
"""The option of Linux's `prctl` that sets the signal which a process gets when its parent ends."""
_REPORTS: Final = (b"START RequestId: ", b"END RequestId: ", b"REPORT RequestId: ")
_TIMED_OUT: Final = b"Task timed out after "


@dataclass(frozen=True, slots=True)
class AwsTools:
    """The installed tools of the local AWS.

    emulator   the file of the runtime interface emulator
    packages   the folder that has Lambda's runtime client for Python
    local_aws  the file of ministack, which emulates the other services
    """

    emulator: Path
    packages: Path
    local_aws: Path


@dataclass(frozen=True, slots=True)
class Handler:
    """A function as Lambda knows it. `entry` is `package.module.function`, imported from the folder `root`."""

    name: str
    entry: str
    root: Path
    environ: Mapping[str, str]
    timeout_seconds: int


def find_tools() -> AwsTools:
    """Return the tools. Raises CommandError if one is missing, or if the emulator does not run on this machine."""
    machine = _EMULATOR_MACHINES.get(platform.machine().lower())
    if sys.platform != "linux" or machine is None:
        found = f"{platform.system()} on {platform.machine()}"
        raise CommandError(f"Lambda's runtime emulator: runs on Linux on x86_64 and arm64; got {found}. Omit PLATFORM.")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(FOLDER)}))
    emulator = packages / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{machine}"
    tools = AwsTools(emulator, packages, local_aws=FOLDER / "bin" / "ministack")
    for path in (tools.emulator, packages / "awslambdaric", tools.local_aws):
        if not path.exists():
            raise CommandError(f"{path}: must exist; it does not. Run `make dev PLATFORM=aws`, which installs it.")
    return tools


class InvocationFailed(Exception):
    """The function gave no result. `error` is the name of the error in Lambda's response."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message


class Pool:
    """The environments of a function, at most `limit` of them."""

    def __init__(self, handler: Handler, tools: AwsTools, limit: int) -> None:
        self.handler = handler
        self._tools = tools
        self._places = asyncio.Semaphore(limit)
        self._idle: list[Environment] = []
        self._busy: set[Environment] = set()

    async def invoke(self, event: bytes) -> bytes:
        """Return the handler's result as JSON, once an environment is free. Raises InvocationFailed."""
        if len(event) > MAX_PAYLOAD_BYTES:  # the emulator would cut it without an error
            raise InvocationFailed("RequestEntityTooLargeException", f"the event is over {MAX_PAYLOAD_BYTES} bytes")
        async with self._places:
            environment = self._idle.pop() if self._idle else await Environment.start(self.handler, self._tools)
            self._busy.add(environment)
            try:
                return await environment.invoke(event)
            except asyncio.CancelledError:  # the invocation goes on, so the environment cannot take another
                environment.kill()
                raise
            finally:
                self._busy.discard(environment)
                if environment.is_alive:
                    self._idle.append(environment)

    async def close(self) -> None:
        """End all environments, also those that are busy."""
        environments = [*self._idle, *self._busy]
        self._idle.clear()
        for environment in environments:
            environment.kill()
        await asyncio.gather(*(environment.ended() for environment in environments))


class Environment:
    """An emulator's process, which starts the runtime with the first invocation."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, timeout_seconds: int) -> None:
        self._process = process
        self._client = HttpClient(f"http://{HOST}:{port}")
        self._timeout_seconds = timeout_seconds
        self._is_killed = False
        assert process.stdout
        self._copying = asyncio.create_task(copy_lines(process.stdout))

    @classmethod
    async def start(cls, handler: Handler, tools: AwsTools) -> Self:
        """Start an emulator, and wait until it listens. Raises InvocationFailed if it does not."""
        port, runtime_port = free_ports(2)
        process = await asyncio.create_subprocess_exec(
            *(str(tools.emulator), "--log-level", "fatal"),
            *("--runtime-interface-emulator-address", f"{HOST}:{port}"),
            *("--runtime-api-address", f"{HOST}:{runtime_port}"),
            *(sys.executable, runtime.__file__, str(tools.packages), handler.entry),
            cwd=handler.root,
            env={
                **handler.environ,
                "AWS_LAMBDA_FUNCTION_NAME": handler.name,
                "AWS_LAMBDA_FUNCTION_TIMEOUT": str(handler.timeout_seconds),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
            start_new_session=True,  # a signal to this process's group, as by Ctrl+C, must not end an invocation
            preexec_fn=end_with_parent(),
        )
        environment = cls(process, port, handler.timeout_seconds)
        try:
            async with asyncio.timeout(START_SECONDS):
                await environment._wait_until_listening(port)
        except BaseException as error:
            environment.kill()
            if isinstance(error, TimeoutError):
                raise InvocationFailed("Runtime.Unknown", "Lambda's runtime emulator does not start") from error
            raise
        return environment

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None and not self._is_killed

    async def invoke(self, event: bytes) -> bytes:
        """Return the handler's result as JSON. Raises InvocationFailed."""
        try:
            answer = await self._client.call("POST", INVOKE_PATH, {}, event, self._timeout_seconds + SPARE_SECONDS)
        except OSError as error:
            self.kill()
            await self.ended()
            raise InvocationFailed("Runtime.ExitError", f"the environment ended: {type(error).__name__}") from error
        if failure := failure_in(answer):
            raise failure
        return answer.body

    def kill(self) -> None:
        """Kill the emulator. The runtime notices that and ends a moment later; its output about that is not shown."""
        self._is_killed = True
        self._copying.cancel()
        self._client.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def ended(self) -> None:
        await self._process.wait()
        await asyncio.wait([self._copying])

    async def _wait_until_listening(self, port: int) -> None:
        while self.is_alive:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, port)
                writer.close()
                return
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError


def failure_in(answer: Answer) -> InvocationFailed | None:
    """Return the failure in the emulator's answer; None if it is a result.

    Lambda marks a failure by a header, but the emulator only by its body: a text, or an object with the error.
    """
    if answer.body.startswith(_TIMED_OUT):
        return InvocationFailed("Sandbox.Timedout", answer.body.decode("utf-8", "replace"))
    # A result can be several megabytes. It is parsed only if it may be an error.
    if answer.status == 200 and b'"errorType"' not in answer.body[-MAX_ERROR_BYTES:]:
        return None
    error = mapping_at(json_or_none(answer.body))
    if answer.status == 200 and not {"errorType", "errorMessage"} <= error.keys():
        return None
    return InvocationFailed(str(error.get("errorType", "Unknown")), str(error.get("errorMessage", "")))


async def copy_lines(stream: asyncio.StreamReader) -> None:
    """Copy a runtime's output to this process's, without the lines that report each invocation."""
    with contextlib.suppress(ValueError):  # a line of more than LINE_BYTES
        while line := await stream.readline():
            if not line.startswith(_REPORTS):
                sys.stdout.buffer.write(line)
                sys.stdout.flush()


def end_with_parent() -> Callable[[], None]:
    """Return a function for `preexec_fn`, with which Linux kills the child as soon as its parent's thread has ended.

    The library is loaded in the parent: loading takes a lock, which a child of a process with threads must not do.
    """
    prctl = ctypes.CDLL(None).prctl

    def ask_for_the_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_for_the_signal


def free_ports(count: int) -> Sequence[int]:
    """Return ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
