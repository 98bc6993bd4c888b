"""Caddy and nginx in front of `hookchain serve`, with the configurations of its page."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.functional.test_serve import ENVIRON, KEY, Receiver, crm, write_certificate
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, is_open, wait_for
from tests.running.stack import Stack, running

__all__ = ["crm"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE: Final = (ROOT / "deploy" / "serve" / "README.md").read_text(encoding="utf-8")
MIB: Final = 1_048_576
RESET: Final = 0
"""The proxy closed the connection while the body was sent: it had the rejection before the whole body."""
CONFIG: Final = """\
trusted_proxies: 1
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id, max_body_bytes: 10485760}
  office: {auth: {scheme: bearer, secret: shop-key}, id: data.id, allow: [127.0.0.2]}
routes:
  - {name: all, from: shop, steps: [{keep: [data.id]}], to: crm}
destinations:
  crm: {webhook: {url: "http://127.0.0.1:PORT/in", allow_private: true}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    port: int
    process: "subprocess.Popen[bytes]"
    context: ssl.SSLContext

    def open(self, address: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """Return a connection from this address of the machine."""
        return http.client.HTTPSConnection(
            "localhost", self.port, timeout=30, context=self.context, source_address=(address, 0)
        )

    def post(self, path: str, body: bytes, address: str = "127.0.0.1", **headers: str) -> int:
        connection = self.open(address)
        with contextlib.closing(connection):
            try:
                connection.request("POST", path, body, {"Authorization": f"Bearer {KEY}", **headers})
            except ConnectionError:
                return RESET
            return connection.getresponse().status


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def caddy_files(folder: Path, port: int, backend: int) -> list[str]:
    site = block("caddyfile").replace("127.0.0.1:8080", f"127.0.0.1:{backend}")
    site = site.replace("hooks.example.com {", f"https://localhost:{port} {{\n\ttls {folder}/pem {folder}/key")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}", encoding="utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"), "--watch"]


def nginx_files(folder: Path, port: int, backend: int) -> list[str]:
    site = block("nginx").replace("127.0.0.1:8080", f"127.0.0.1:{backend}").replace("listen 443", f"listen {port}")
    site = re.sub(r"/etc/letsencrypt/\S+/fullchain\.pem", str(folder / "pem"), site)
    site = re.sub(r"/etc/letsencrypt/\S+/privkey\.pem", str(folder / "key"), site)
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("proxy", "client_body", "fastcgi", "uwsgi", "scgi")
    )
    top = f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error;\nuser root;\n" if os.geteuid() == 0 else ""
    text = f"{top}events {{}}\nhttp {{\naccess_log off;\n{places}{site}}}\n"
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]


FILES: Final = {"caddy": caddy_files, "nginx": nginx_files}


@contextlib.contextmanager
def proxied(name: str, folder: Path, stack: Stack) -> Iterator[Proxy]:
    port = free_port()
    write_certificate(folder)
    command = FILES[name](folder, port, stack.base)
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "proxy-output").open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        wait_for(lambda: is_open(port), 20)
        yield Proxy(port, process, ssl.create_default_context(cafile=str(folder / "pem")))
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return name


def test_a_proxy_passes_addresses_large_bodies_and_slow_senders(tmp_path: Path, crm: Receiver, name: str) -> None:
    config = CONFIG.replace("http://127.0.0.1:PORT", crm.url)
    with running(tmp_path, config, ENVIRON, serves=True) as stack, proxied(name, tmp_path, stack) as proxy:
        assert proxy.post("/shop", body(1)) == 200
        # The proxy's word counts for the sender's address, the sender's own does not.
        assert proxy.post("/office", body(2), "127.0.0.2") == 200
        assert proxy.post("/office", body(3)) == 403
        assert proxy.post("/office", body(4), **{"X-Forwarded-For": "127.0.0.2"}) == 403
        assert proxy.post("/shop", body(5, 10 * MIB)) == 200
        assert proxy.post("/shop", body(6, 10 * MIB + 1)) in {413, RESET}
        assert slowly(proxy, 7) == 200
        workers = worker_pids(proxy)
        accepted: list[int] = []
        reloaded = False
        # Caddy looks at its file once a second: send rounds until one began after the proxy had reloaded.
        while not reloaded and len(accepted) < 2000:
            reloaded = has_reloaded(proxy, name, tmp_path, workers)
            numbers = range(100 + len(accepted), 200 + len(accepted))
            assert [reload_between(proxy, name, tmp_path, number) for number in numbers] == [200] * 100
            accepted += numbers
        assert reloaded
        wait_for(lambda: {1, 5, 7, *accepted} <= {*crm.arrived})
    assert len(crm.arrived) == len({*crm.arrived})


def has_reloaded(proxy: Proxy, name: str, folder: Path, workers: set[str]) -> bool:
    if name == "caddy":
        return "config file changed" in (folder / "proxy-output").read_text(encoding="utf-8")
    return not workers & worker_pids(proxy)


def worker_pids(proxy: Proxy) -> set[str]:
    command = ["pgrep", "-P", str(proxy.process.pid)]
    return {*subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()}


def body(number: int, size: int = 0) -> bytes:
    begun = json.dumps({"id": number, "fill": ""})
    return json.dumps({"id": number, "fill": "x" * (size - len(begun))}).encode()


def slowly(proxy: Proxy, number: int) -> int:
    """Send a body in pieces for 4 s; others are served meanwhile. Return the status."""
    content = body(number, 400)
    with contextlib.closing(proxy.open()) as connection:
        connection.putrequest("POST", "/shop")
        connection.putheader("Authorization", f"Bearer {KEY}")
        connection.putheader("Content-Length", str(len(content)))
        connection.endheaders()
        for at in range(0, 400, 20):
            connection.send(content[at : at + 20])
            time.sleep(0.2)
            if at == 200:
                begun = time.monotonic()
                assert proxy.post("/shop", body(number + 1)) == 200
                assert time.monotonic() - begun < 2.0
        return connection.getresponse().status


def reload_between(proxy: Proxy, name: str, folder: Path, number: int) -> int:
    """Send an event; some of them just after the proxy was told to reload."""
    if number % 20 == 0 and name == "nginx":
        proxy.process.send_signal(signal.SIGHUP)
    if number % 20 == 0 and name == "caddy":
        with (folder / "Caddyfile").open("a", encoding="utf-8") as file:  # which it watches
            file.write("\n")
    return proxy.post("/shop", body(number))
