"""npm's dynalite: DynamoDB's checks of requests, its conditions and its indexes, which others wrote from the real one.

It does not know ReturnValuesOnConditionCheckFailure, which the front before it brings.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from shared.cloud.aws.client import AwsPlace
from tests.aws.dynamo_front import dynamo_front
from tests.aws.local_aws import KEYS, REGION
from tests.running.ports import free_port

SCRIPT: Final = """
const server = require(process.argv[1])({ createTableMs: 0 });
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
process.stdin.resume().on("end", () => process.exit(0));
"""


@contextmanager
def dynalite(package: Path) -> Iterator[AwsPlace]:
    if shutil.which("node") is None:
        pytest.skip("node is not here: install nodejs, which runs npm's dynalite")
    port = free_port()
    command = ["node", "-e", SCRIPT, str(package), str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            behind = AwsPlace(REGION, lambda: KEYS, f"http://127.0.0.1:{port}")
            with dynamo_front(behind, returns_items=True) as front:
                yield front.place
        finally:
            process.kill()
