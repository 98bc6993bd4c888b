"""npm's dynalite: DynamoDB's checks of requests, its conditions and its indexes, which others wrote from the real one.

It does not know ReturnValuesOnConditionCheckFailure, which the front before it brings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from shared.cloud.aws.client import AwsPlace
from tests.aws.dynamo_front import dynamo_front
from tests.aws.local_aws import KEYS, REGION
from tests.running.npm_server import npm_server

SCRIPT: Final = """
const server = require(process.argv[1])({ createTableMs: 0 });
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
"""


@contextmanager
def dynalite(package: Path) -> Iterator[AwsPlace]:
    with npm_server(SCRIPT, package) as port:
        behind = AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{port}")
        with dynamo_front(behind, returns_items=True) as front:
            yield front.place
