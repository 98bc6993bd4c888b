"""A local AWS: moto's server on a loopback port of its own, in threads of this process."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

import pytest

from shared.cloud.aws.client import AwsPlace
from shared.signatures.aws_v4 import Credentials

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from botocore.client import BaseClient

REGION: Final = "eu-central-1"
KEYS: Final = Credentials("AKIDEXAMPLE", "not-a-secret")


class _InTurn:
    """An application that DynamoDB's requests come to one after another: moto's conditional writes are not atomic."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._turn = threading.Lock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not str(environ.get("HTTP_X_AMZ_TARGET", "")).startswith("DynamoDB_"):
            return self._application(environ, start_response)
        with self._turn:
            return self._application(environ, start_response)


@contextmanager
def _models_read_once() -> Iterator[None]:
    """Keep botocore's models for this process. Each command makes a session, which would look for them again."""
    import botocore.httpsession
    import botocore.session

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        once = cache(botocore.httpsession.create_urllib3_context)  # the local AWS needs none, and it takes milliseconds
        patched.setattr(botocore.httpsession, "create_urllib3_context", once)
        yield


@contextmanager
def local_aws() -> Iterator[AwsPlace]:
    """Where it is, until the block ends. All of this process share its state: a test removes what it has made there."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class KeptAlive(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # as AWS keeps connections

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = _InTurn(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=KeptAlive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="local AWS")
    thread.start()
    try:
        with _models_read_once():
            yield AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@cache
def boto_client(place: AwsPlace, service: str) -> "BaseClient":
    """Return boto3's client of a service there, which is how a test makes what a deployment would."""
    import boto3

    session = boto3.Session(KEYS.access_key_id, KEYS.secret_access_key, region_name=place.region)
    client: BaseClient = session.client(service, endpoint_url=place.endpoint)
    return client
