"""A bus that confirms at once and keeps nothing, over REST and over gRPC; and one that takes all and never answers.

`python -m tests.stand_ins.bus rest|grpc|silent PORT`
"""

import asyncio
import json
import sys
from concurrent import futures


def command(kind: str, port: int) -> list[str]:
    return [sys.executable, "-m", "tests.stand_ins.bus", kind, str(port)]


class ConstantAnswer(asyncio.Protocol):
    """Answers every HTTP request on the connection with as many message ids as it published."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            length = _content_length(self.pending[:end])
            if len(self.pending) < end + 4 + length:
                return
            body = self.pending[end + 4 : end + 4 + length]
            self.pending = self.pending[end + 4 + length :]
            ids = json.dumps({"messageIds": ["1"] * max(1, body.count(b'{"data":'))}).encode()
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ids), ids)
            )


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


async def serve(protocol: type[asyncio.Protocol], port: int) -> None:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    await server.serve_forever()


def serve_grpc(port: int) -> None:
    import grpc
    from google.pubsub_v1.types import PublishRequest, PublishResponse

    def publish(request: PublishRequest, context: grpc.ServicerContext) -> PublishResponse:
        return PublishResponse(message_ids=["1"] * len(request.messages))

    handler = grpc.unary_unary_rpc_method_handler(
        publish, request_deserializer=PublishRequest.deserialize, response_serializer=PublishResponse.serialize
    )
    server = grpc.server(futures.ThreadPoolExecutor(8))
    generic = grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": handler})
    server.add_generic_rpc_handlers((generic,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    kind, port_text = sys.argv[1:]
    if kind == "grpc":
        serve_grpc(int(port_text))
    else:
        asyncio.run(serve(ConstantAnswer if kind == "rest" else asyncio.Protocol, int(port_text)))
