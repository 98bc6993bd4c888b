"""Every converter in transform's README works, by its command and over HTTP."""

import hashlib
import json
import plistlib
import re
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from tests.running.ports import free_port
from tests.running.processes import BIN, PATIENCE_SECONDS, ROOT, Request, functions_framework, started
from tests.stand_ins.bus import command

pytestmark = pytest.mark.slow

README: Final = (ROOT / "functions" / "transform" / "README.md").read_text(encoding="utf-8")
COMMANDS: Final = dict(re.findall(r"^\| ([a-z0-9-]+) \| `(hookchain step .*)` \|$", README, re.MULTILINE))

VALUE: Final = {"answer": "no", "size": "1e3", "code": "012", "seats": 3, "open": True, "tags": ["a", "b"]}
JSON: Final = b'{ "answer": "no", "size": "1e3",\n  "code": "012", "seats": 3, "open": true, "tags": ["a", "b"] }\n'
YAML: Final = b'answer: "no"\nsize: "1e3"\ncode: "012"\nseats: 3\nopen: true\ntags: [a, b]\n'
TEXT: Final = "Grüße, 5 €\n"
INPUTS: Final[dict[str, bytes]] = {
    "in.json": JSON,
    "in.yaml": YAML,
    "in.txt": TEXT.encode(),
    "in.hex": TEXT.encode().hex().encode(),
    "in.bin": " ".join(f"{byte:08b}" for byte in TEXT.encode()).encode(),
    "in.plist": plistlib.dumps(VALUE),
}
TYPES: Final = {"in.json": "application/json", "in.pb": "application/x-protobuf", "in.plist": "application/x-plist"}

RIGHT: Final[dict[str, Callable[[bytes], bool]]] = {
    "json-to-yaml": lambda out: yaml.safe_load(out) == VALUE,
    "yaml-to-json": lambda out: json.loads(out) == VALUE,
    "json-to-plist": lambda out: plistlib.loads(out) == VALUE,
    "yaml-to-plist": lambda out: plistlib.loads(out) == VALUE,
    "json-to-protobuf": lambda out: struct_of(out) == VALUE,
    "protobuf-to-json": lambda out: json.loads(out) == VALUE,
    "text-to-hex": lambda out: out == INPUTS["in.hex"],
    "hex-to-text": lambda out: out.decode() == TEXT,
    "text-to-binary": lambda out: out == INPUTS["in.bin"],
    "binary-to-text": lambda out: out.decode() == TEXT,
    "md5": lambda out: out.decode() == hashlib.md5(JSON).hexdigest(),
    "count-fields": lambda out: out == b"6",
    "lint-json": lambda out: out == JSON,
    "lint-yaml": lambda out: out == YAML,
    "lint-plist": lambda out: plistlib.loads(out) == VALUE,
}


def struct_of(content: bytes) -> object:
    """By protobuf's own library."""
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.struct_pb2 import Struct

    return MessageToDict(Struct.FromString(content))


def step_of(name: str) -> str:
    """The step in a converter's command: `convert: {to: yaml}`."""
    arguments = shlex.split(COMMANDS[name])
    return arguments[arguments.index("<") - 1]


def input_of(name: str) -> str:
    return shlex.split(COMMANDS[name])[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from google.protobuf.json_format import ParseDict
    from google.protobuf.struct_pb2 import Struct

    folder = tmp_path_factory.mktemp("tiny")
    for name, content in {**INPUTS, "in.pb": ParseDict(VALUE, Struct()).SerializeToString()}.items():
        (folder / name).write_bytes(content)
    return folder


def run(shell_command: str, folder: Path) -> "subprocess.CompletedProcess[bytes]":
    environ = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        ["sh", "-c", shell_command], cwd=folder, env=environ, capture_output=True, timeout=PATIENCE_SECONDS
    )


def test_the_page_lists_every_converter() -> None:
    assert COMMANDS.keys() == RIGHT.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_each_converter_works_by_its_command(name: str, folder: Path) -> None:
    done = run(COMMANDS[name], folder)

    assert (done.returncode, done.stderr) == (0, b"")
    assert RIGHT[name](done.stdout)


def test_what_the_page_does_there_and_back_comes_back(folder: Path) -> None:
    [there_and_back] = re.findall(r"To run a round trip, use `(.*)`\.", README)

    assert json.loads(run(there_and_back, folder).stdout) == VALUE


def test_a_linter_says_where_a_document_is_wrong(folder: Path) -> None:
    (folder / "wrong").write_text('{"a":\n}', encoding="utf-8")

    done = run(COMMANDS["lint-json"].replace(input_of("lint-json"), "wrong"), folder)

    assert (done.returncode, done.stdout) == (1, b"")
    assert "not JSON: Expecting value: line 2 column 1 (char 6)" in done.stderr.decode()


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """Transform as it is served, with a chain for each converter."""
    chains = "\n".join(f"  {name}: [{{{step_of(name)}}}]" for name in COMMANDS)
    config = parse_config(f"sources:\n  any: {{auth: none}}\nchains:\n{chains}\n", "tiny.yaml", folder)
    (folder / "slice.json").write_text(json.dumps(compile_config(config)["transform"]), encoding="utf-8")
    bus_port, port = free_port(), free_port()
    environ = {
        "HOOKCHAIN_SLICE": str(folder / "slice.json"),
        "HOOKCHAIN_STATE": str(folder / "state"),
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{bus_port}",
    }
    with (
        started(command("rest", bus_port), {}, bus_port, Request("/", b"", {}), ready="open"),
        started(
            functions_framework("functions/transform", "transform", port), environ, port, Request("/", b"", {}), "503"
        ),
    ):
        yield port


def posted(port: int, path: str, body: bytes, content_type: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.headers["content-type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read()


ANSWERED: Final = {
    "json-to-yaml": "application/yaml",
    "json-to-protobuf": "application/x-protobuf",
    "text-to-hex": "text/plain; charset=utf-8",
}


@pytest.mark.parametrize("name", RIGHT)
def test_each_converter_works_over_http(name: str, port: int, folder: Path) -> None:
    taken_as = re.search(r"--as (text|bytes)", COMMANDS[name])
    path = f"/chains/{name}?body={taken_as[1]}" if taken_as else f"/chains/{name}"
    body = (folder / input_of(name)).read_bytes()

    status, content_type, answer = posted(port, path, body, TYPES.get(input_of(name), "text/plain"))

    assert status == 200
    assert content_type == ANSWERED.get(name, content_type)
    assert RIGHT[name](answer)


@pytest.mark.parametrize("scalar", [b'"no"', b"42"])
def test_a_scalar_alone_becomes_yaml_and_json_again(scalar: bytes, port: int) -> None:
    _, _, written = posted(port, "/chains/json-to-yaml", scalar, "application/json")
    assert written == scalar + b"\n"
    assert posted(port, "/chains/yaml-to-json", written, "application/yaml")[2] == scalar
