"""Lambda's handlers: their packages as they are uploaded, and a handler under the runtime interface emulator.

Lambda's runtime client for Python runs each handler, without the packages of this interpreter and, because a handler's
folder is read-only there, without writing bytecode. The stand-in answers as AWS.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from deploy.aws.sam import write_bytecode
from deploy.dev.aws import runtime
from deploy.dev.aws.environments import INVOKE_PATH, AwsTools, failure_in, free_ports
from deploy.dev.aws.function import event_of
from shared.jsontext import Json, JsonObject, mapping_at
from shared.outgoing.http_client import Answer
from shared.settings import QUEUE_VARIABLES
from tests.aws.sqs_stand_in import lambda_record
from tests.bench.configurations import ENVIRON
from tests.bench.pipe import NOTHING
from tests.bench.tree import PROBES, TreeFault
from tests.running.processes import Request, Running, started

HOST: Final = "127.0.0.1"
ANSWER_SECONDS: Final = 60.0
PIP: Final = ("-m", "pip", "install", "--quiet", "--no-compile", "--require-hashes", "--disable-pip-version-check")


def install(bundle: Path) -> None:
    """Make a package of the bundle, as a deployment does, for this machine. Raises TreeFault."""
    command = [sys.executable, *PIP, "--target", str(bundle), "--requirement", str(bundle / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TreeFault(f"pip install of {bundle.name} failed: {done.stderr.strip()[-600:]}")
    write_bytecode(bundle, Path(sys.executable))


def archive_bytes(package: Path) -> int:
    """Return the size of the archive of the package, which is uploaded."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for path in package.rglob("*"):
            written.write(path, path.relative_to(package))
    return len(archive.getvalue())


def environ_at(endpoint: str) -> dict[str, str]:
    """Return the variables of a function whose AWS and mail service are at the endpoint, as Lambda sets them."""
    return {
        **ENVIRON,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_ENDPOINT_URL": endpoint,
        "SENDGRID_API_URL": endpoint,
        "HOOKCHAIN_BUCKET": "bench",
        "HOOKCHAIN_TABLES": "bench-",
        **{variable: f"{endpoint}/1/bench-{topic}" for topic, variable in QUEUE_VARIABLES.items()},
        "PYTHONDONTWRITEBYTECODE": "1",
    }


class Invoked:
    """A handler in its environment. The first invocation starts the runtime."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._connection = http.client.HTTPConnection(HOST, running.port, timeout=ANSWER_SECONDS)

    def invoke(self, event: bytes) -> float:
        """Invoke the handler and return the seconds that it took. Raises RuntimeError unless the event is done."""
        began = time.perf_counter()
        self._connection.request("POST", INVOKE_PATH, event)
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - began
        if failure := failure_in(Answer(response.status, body)):
            raise RuntimeError(f"{failure}\n{self._faults()}")
        result = json.loads(body)
        if result.get("statusCode", 200) != 200 or result.get("batchItemFailures"):
            raise RuntimeError(f"the handler returned {result}\n{self._faults()}")
        return seconds

    def check(self) -> None:
        """Raise RuntimeError if the handler has logged an error."""
        if faults := self._faults():
            raise RuntimeError(faults)

    def close(self) -> None:
        self._connection.close()

    def _faults(self) -> str:
        return _faults_in(self._running.output())


@contextlib.contextmanager
def handler(folder: Path, entry: str, environ: Mapping[str, str], tools: AwsTools) -> Iterator[Invoked]:
    """The emulator of the handler `entry`, found from the folder, until the block ends. No runtime has started yet."""
    port, api_port = free_ports(2)
    command = [
        *(str(tools.emulator), "--log-level", "fatal"),
        *("--runtime-interface-emulator-address", f"{HOST}:{port}"),
        *("--runtime-api-address", f"{HOST}:{api_port}"),
        *(sys.executable, "-S", runtime.__file__, str(tools.packages), entry),
    ]
    whole = {**environ, "AWS_LAMBDA_FUNCTION_NAME": folder.name, "AWS_LAMBDA_FUNCTION_TIMEOUT": "60"}
    with started(command, whole, port, NOTHING, ready="open", cwd=folder) as running:
        invoked = Invoked(running)
        try:
            yield invoked
            invoked.check()
        finally:
            invoked.close()


def cpu_seconds(package: Path, entry: str, environ: Mapping[str, str], events: Sequence[bytes], first: int) -> float:
    """Return the CPU time that the handler takes for the events after the `first`, in a process of its own.

    Raises RuntimeError.
    """
    file = package.with_name(f"{package.name}.events")
    file.write_bytes(b"\n".join(events))
    whole = {**os.environ, **environ, "AWS_LAMBDA_FUNCTION_NAME": package.name}
    command = [sys.executable, "-S", str(PROBES / "invocations.py"), entry, str(file), str(first)]
    log = package.with_name(f"{package.name}.log")
    with log.open("wb") as output:  # a file, as for the functions that it is compared with: a pipe wakes up its reader
        done = subprocess.run(
            command, cwd=package, env=whole, stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    if done.returncode or (faults := _faults_in(log.read_text(encoding="utf-8"))):
        raise RuntimeError(f"{package.name}: {done.stderr[-600:] if done.returncode else faults}")
    return float(done.stderr.split()[-1])


def _faults_in(output: str) -> str:
    """Return the last warnings and errors that a function has logged."""
    return "\n".join([line for line in output.splitlines() if '"ERROR"' in line or '"WARNING"' in line][-3:])


def entry_of(function: str) -> str:
    return f"functions.{function}.lambda_handler.handler"


def url_event(request: Request) -> bytes:
    """Return the event with which a Function URL hands over the request."""
    headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    return json.dumps(event_of("POST", request.path, headers, request.body, "198.51.100.1")).encode()


def queue_event(topic: str, entries: Sequence[Json]) -> bytes:
    """Return the event of messages that were sent to the queue of the topic."""
    records: list[JsonObject] = []
    for number, entry in enumerate(entries):
        arn = f"arn:aws:sqs:eu-central-1:123456789012:bench-{topic}"
        records.append({**lambda_record(mapping_at(entry)), "messageId": f"m{number}", "eventSourceARN": arn})
    return json.dumps({"Records": records}).encode()
