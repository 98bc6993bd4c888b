"""A local AWS: moto's server on a loopback port of its own, in threads of this process."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.signing import Credentials

REGION: Final = "eu-central-1"
KEYS: Final = Credentials("AKIDEXAMPLE", "not-a-secret")


@contextmanager
def local_aws() -> Iterator[AwsPlace]:
    """Where it is, until the block ends. It has nothing at first; the state of this process is its own."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class KeptAlive(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # as AWS keeps connections

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeptAlive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="local AWS")
    thread.start()
    try:
        yield AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
