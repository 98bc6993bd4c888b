"""The load, against a server of a few lines."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiohttp import web

from tests.bench.configurations import order, order_of_many_lines, order_with_attachment, signed, small_order
from tests.bench.load import drive, http_post
from tests.gcp.serving import served


@contextmanager
def counting(response: str, seen: list[bytes]) -> Iterator[int]:
    async def take(request: web.Request) -> web.StreamResponse:
        seen.append(await request.read())
        if response == "chunked":
            stream = web.StreamResponse()
            stream.enable_chunked_encoding()
            await stream.prepare(request)
            await stream.write(b"some")
            await stream.write(b"thing")
            return stream
        answer = web.Response(status=503 if response == "503" else 200, text="taken")
        if response == "closing":
            answer.force_close()
        return answer

    app = web.Application()
    app.router.add_post("/shop-0", take)
    with served(app) as host:
        yield int(host.rpartition(":")[2])


@pytest.mark.parametrize("response", ["plain", "chunked", "closing"])
def test_each_request_is_sent_once_whatever_the_server_answers_with(response: str) -> None:
    seen: list[bytes] = []
    with counting(response, seen) as port:
        load = drive(port, [http_post(signed(small_order(f"{number}"))) for number in range(40)])
    assert sorted(json.loads(body)["id"] for body in seen) == sorted(f"{number}" for number in range(40))
    assert (len(load.latencies_ms), load.failed) == (40, 0)


def test_answers_that_are_not_2xx_are_counted() -> None:
    with counting("503", []) as port:
        assert drive(port, [http_post(signed(order("a")))] * 5).failed == 5


def test_orders_are_as_large_as_the_rows_say() -> None:
    assert 140 <= len(small_order("0" * 12)) <= 160
    assert 1_900 <= len(order("0" * 12)) <= 2_100
    for large in (order_with_attachment, order_of_many_lines):
        assert 950_000 <= len(large("0" * 12)) <= 1_048_576
        assert json.loads(large("0" * 12))["id"] == "0" * 12
