"""Load by wrk, and what it says."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.processes import Request

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Load:
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    requests: int
    refused: int


def wrk(port: int, request: Request, seconds: int, connections: int = 16) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(_script(request), encoding="utf-8")
        url = f"http://127.0.0.1:{port}{request.path}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(
        requests_per_second=float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        p50_ms=_milliseconds(r"50%\s+([\d.]+)(us|ms|s)", said),
        p99_ms=_milliseconds(r"99%\s+([\d.]+)(us|ms|s)", said),
        requests=int(_found(r"(\d+) requests in", said)),
        refused=int(match[1]) if (match := re.search(r"Non-2xx or 3xx responses: (\d+)", said)) else 0,
    )


def _script(request: Request) -> str:
    headers = "".join(f'wrk.headers["{name}"] = [==[{value}]==]\n' for name, value in request.headers.items())
    return f'wrk.method = "POST"\nwrk.body = [==[{request.body.decode()}]==]\n{headers}'


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk did not say {pattern!r}:\n{text}")
    return match[1]


def _milliseconds(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    return float(match[1]) * _UNITS[match[2]] if match else float("nan")
