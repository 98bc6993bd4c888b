"""The emulated cloud APIs as a process: starting, stopping, dying, and trouble on demand."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.jsontext import Json, JsonObject
from tests.running.emulation import Emulation, Endpoint, attributes_of
from tests.running.processes import PATIENCE_SECONDS, ROOT

PROJECT = "projects/p1"
TOPIC = f"{PROJECT}/topics/events"
SUBSCRIPTION = f"{PROJECT}/subscriptions/pushed"


async def ask(emulation: Emulation, method: str, path: str, body: Json = None) -> tuple[int, Json]:
    return await asyncio.to_thread(emulation.ask, method, path, body)


async def lay(emulation: Emulation, endpoint: Endpoint, **settings: Json) -> None:
    await ask(emulation, "PUT", f"/v1/{TOPIC}", {})
    push: Json = {"topic": TOPIC, "pushConfig": {"pushEndpoint": endpoint.url}, **settings}
    assert (await ask(emulation, "PUT", f"/v1/{SUBSCRIPTION}", push))[0] == 200


async def publish(emulation: Emulation, *names: str) -> int:
    messages: list[Json] = [{"attributes": {"name": name}} for name in names]
    status, _ = await ask(emulation, "POST", f"/v1/{TOPIC}:publish", {"messages": messages})
    return status


def names_in(endpoint: Endpoint) -> Counter[str]:
    return Counter(str(attributes_of(push)["name"]) for push in endpoint.pushes)


def run_to_its_end(*arguments: str) -> tuple[int, str]:
    """The exit code and standard error of a process that cannot start."""
    command = [sys.executable, "-m", "deploy.dev.cloud_apis", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_answers_and_ends_cleanly(tmp_path: Path, number: int) -> None:
    emulation = Emulation(tmp_path)
    line: JsonObject = json.loads(emulation.start())
    assert line["severity"] == "INFO"
    assert "count" not in line, "no message waits"
    assert emulation.url in str(line["message"])
    assert emulation.stop(number) == 0


@pytest.mark.slow
async def test_it_ends_cleanly_in_the_midst_of_pushing(tmp_path: Path) -> None:
    emulation = Emulation(tmp_path)
    async with Endpoint().open() as endpoint:
        emulation.start()
        await lay(emulation, endpoint)
        await publish(emulation, *(f"m{n}" for n in range(500)))
        await endpoint.wait_for(50)
        assert await asyncio.to_thread(emulation.stop) == 0
        result = sum(names_in(endpoint).values())
        line: JsonObject = json.loads(await asyncio.to_thread(emulation.start))
        assert line["count"] == 500 - result
        await endpoint.wait_for(500)
        assert set(names_in(endpoint).values()) == {1}
        assert await asyncio.to_thread(emulation.stop) == 0


def test_a_port_in_use_ends_the_process_with_advice(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        code, message = run_to_its_end("--port", port, "--state", str(tmp_path))
    assert code == 1
    assert f"port {port} on 127.0.0.1 is taken by another program. Stop it, or choose another port" in message


@pytest.mark.slow
async def test_a_confirmed_message_survives_every_kill(tmp_path: Path) -> None:
    emulation = Emulation(tmp_path)
    confirmed: set[str] = set()

    async def publish_some(worker: int) -> None:
        for n in range(40):
            name = f"{worker}-{n}"
            while True:
                try:
                    if await publish(emulation, name) == 200:
                        break
                except OSError:  # it is dead, and started again soon
                    await asyncio.sleep(0.02)
            confirmed.add(name)

    async with Endpoint().open() as endpoint:
        emulation.start()
        await lay(emulation, endpoint, retryPolicy={"minimumBackoff": "0.1s"})
        endpoint.answer = lambda _: 503 if len(endpoint.pushes) % 3 == 0 else 204
        publishing = [asyncio.create_task(publish_some(worker)) for worker in range(4)]
        for _ in range(3):
            await asyncio.sleep(0.15)
            emulation.kill()
            await asyncio.to_thread(emulation.start)
        await asyncio.gather(*publishing)
        await endpoint.wait_until(lambda: names_in(endpoint).keys() >= confirmed)
        assert len(confirmed) == 160
        assert await asyncio.to_thread(emulation.stop) == 0


@pytest.mark.slow
async def test_after_a_restart_unacknowledged_messages_are_delivered_and_attempts_continue(tmp_path: Path) -> None:
    emulation = Emulation(tmp_path)
    async with Endpoint().open() as endpoint:
        emulation.start()
        await ask(emulation, "PUT", f"/v1/{PROJECT}/topics/dead", {})
        policy: Json = {"deadLetterTopic": f"{PROJECT}/topics/dead", "maxDeliveryAttempts": 100}
        await lay(emulation, endpoint, deadLetterPolicy=policy, retryPolicy={"minimumBackoff": "30s"})
        endpoint.answer = lambda push: 503 if attributes_of(push)["name"] == "bad" else 204
        await publish(emulation, "good", "bad")
        await endpoint.wait_for(2)
        assert emulation.stop() == 0
        line: JsonObject = json.loads(await asyncio.to_thread(emulation.start))
        assert line["count"] == 1
        *_, again = await endpoint.wait_for(3)
        assert (attributes_of(again)["name"], again["deliveryAttempt"]) == ("bad", 2)
        assert names_in(endpoint) == {"good": 1, "bad": 2}
        assert await asyncio.to_thread(emulation.stop) == 0


async def test_trouble_on_demand_begins_and_ends_while_it_runs(tmp_path: Path) -> None:
    async with Endpoint().open() as endpoint:
        with Emulation(tmp_path).running() as emulation:
            await ask(emulation, "POST", "/emulator/faults", {"seed": 7, "bus": {"unavailable": 1}})
            await lay(emulation, endpoint)
            assert await publish(emulation, "refused") == 503
            status, faults = await ask(emulation, "POST", "/emulator/faults", {"bus": {"unavailable": 0, "nack": 1}})
            assert status == 200
            assert await ask(emulation, "GET", "/emulator/faults") == (200, faults)
            assert await publish(emulation, "answered, and lost on the way back") == 200
            await endpoint.wait_for(2)
            await ask(emulation, "DELETE", "/emulator/faults")
            await ask(emulation, "POST", "/emulator/faults", {"bus": {"unconfirmed": 1, "duplicate": 1}})
            assert await publish(emulation, "kept all the same") == 503
            await endpoint.wait_until(lambda: names_in(endpoint)["kept all the same"] == 2)
            assert names_in(endpoint)["refused"] == 0
            status, _ = await ask(emulation, "POST", "/emulator/faults", {"bus": {"nack": 7}})
            assert status == 400


@pytest.fixture(scope="module")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulation]:
    with Emulation(tmp_path_factory.mktemp("bus")).running() as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "null"},
        {"Host": "evil.example:8085"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_that_is_not_ours_can_neither_publish_nor_send_mail_nor_change_faults(
    emulation: Emulation, headers: dict[str, str]
) -> None:
    topic = "/v1/projects/p1/topics/events"
    emulation.ask("PUT", topic, {})
    for path in (f"{topic}:publish", "/v3/mail/send", "/emulator/faults"):
        assert emulation.ask("POST", path, {"messages": [{"data": "aGk="}]}, **headers)[0] == 403


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/proc/net/tcp").exists(), reason="only root can become another user, on Linux"
)
def test_another_user_of_this_machine_is_answered_403(emulation: Emulation) -> None:
    script = "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1])); "
    script += "c.request('GET', '/emulator/faults'); print(c.getresponse().status)"
    command = [sys.executable, "-I", "-S", "-c", script, str(emulation.port)]
    statuses = [
        subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=True).stdout.strip()
        for user in (65_534, os.geteuid())
    ]
    assert statuses == ["403", "200"]
