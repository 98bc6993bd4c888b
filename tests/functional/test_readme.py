"""What the pages show is true: each fenced block is run or checked, by its language.

    sh      the pages in CONFIGURATIONS: run in order with `sh -e` from the checkout, while `hookchain dev` runs. One
            that ends by starting functions-framework must answer on its port. Other pages: its syntax is checked
    python  run
    yaml    a configuration with `sources` is linted; any other must parse
    json    parsed
    none    a drawing; indented lines are not looked at either

The README speaks of the default ports. Where they are taken here, others are put in their place, and the run says so.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import yaml

from deploy.config.compiler import check_config, compile_file, secrets_needed
from deploy.config.config_file import parse_config
from deploy.config.page_token import page_token
from shared.secrets import variable_name
from tests.running.ports import free_base, is_free
from tests.running.processes import PATIENCE_SECONDS

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE: Final = ROOT / "deploy" / "hookchain.example.yaml"
SUBSCRIBERS: Final = ROOT / "deploy" / "recipes" / "subscribers" / "hookchain.yaml"
OFFSETS: Final = (0, 1, 2, 3, 5, 10)
DEFAULT_BASE: Final = 8080
CONFIGURATIONS: Final = {
    "README.md": EXAMPLE,
    "deploy/docs/local.md": EXAMPLE,
    "functions/subscribe/README.md": SUBSCRIBERS,
}
"""The pages whose commands are run, and the configuration that `hookchain dev` serves then."""
_FENCE: Final = re.compile(r"^(```+)[ ]*(\S*)[^\n]*\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
_SERVER: Final = re.compile(r"functions-framework .*--port (\d+)")


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    line: int
    language: str
    text: str


def blocks_of(page: str, text: str) -> Iterator[Block]:
    for match in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[2], match[3])


def pages() -> list[Path]:
    found = [
        ROOT / "README.md",
        *(page for room in ("deploy", "functions") for page in sorted((ROOT / room).rglob("*.md"))),
    ]
    return [path for path in found if path.is_file() and not {"node_modules", ".hookchain"} & set(path.parts)]


def all_blocks(*languages: str) -> list[Block]:
    blocks = [block for page in pages() for block in blocks_of(str(page.relative_to(ROOT)), page.read_text())]
    return [block for block in blocks if not languages or block.language in languages]


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


@dataclass(frozen=True, slots=True)
class Stack:
    base: int
    environ: Mapping[str, str]

    def moved(self, text: str) -> str:
        """The text with this stack's ports for the default ones."""
        for offset in OFFSETS:
            text = re.sub(
                rf"(localhost:|127\.0\.0\.1:|--port ){DEFAULT_BASE + offset}\b", rf"\g<1>{self.base + offset}", text
            )
        return text


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack, None, None]:
    yield from stack_with(EXAMPLE, tmp_path_factory)


@pytest.fixture(scope="module")
def subscribers_stack(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack, None, None]:
    yield from stack_with(SUBSCRIBERS, tmp_path_factory)


def stack_with(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack, None, None]:
    is_default = _holds_default_ports(tmp_path_factory.getbasetemp().parent) and all(
        is_free(DEFAULT_BASE + offset) for offset in OFFSETS
    )
    base = DEFAULT_BASE if is_default else free_base(OFFSETS)
    if not is_default:
        print(f"The default ports are taken: the README's are read as {base} and so on.")
    folder = tmp_path_factory.mktemp("readme")
    environ = environment(folder, base, config)
    log = folder / "dev.log"
    command = [sys.executable, "-m", "deploy.cli", "dev", "--no-reload", "--env-file", str(folder / "env")]
    with log.open("wb") as output, started(command, environ, output.fileno()) as process:
        wait_until(lambda: "Hookchain is up" in log.read_text(), process, log)
        yield Stack(base, environ)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)


@cache
def _holds_default_ports(folder: Path) -> bool:
    """Return True in one process of this run: two stacks that start together both find the ports free."""
    lock = os.open(folder / "default-ports.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the process ends
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def environment(folder: Path, base: int, config: Path = EXAMPLE) -> dict[str, str]:
    """A person's own, with the secrets of the configuration at hand."""
    names = secrets_needed(compile_file(config, {}))
    return {
        **os.environ,
        **{variable_name(name): f"{name}-of-the-readme, long enough for a key" for name in names},
        "HOOKCHAIN_CONFIG": str(config),
        "HOOKCHAIN_STATE": str(folder / "state"),
        "PORT_BASE": str(base),
    }


@contextmanager
def started(
    command: list[str], environ: Mapping[str, str], output: int
) -> Generator[subprocess.Popen[bytes], None, None]:
    """In a group of its own, all of which is gone afterwards."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/robots.txt") as answer:
            return bool(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except urllib.error.URLError:
        return False


def with_activation(block: Block) -> str:
    """Return the block as somebody runs it who ran the README's first line of commands in the same terminal."""
    [line] = [
        line
        for each in blocks_of("README.md", (ROOT / "README.md").read_text())
        for line in each.text.split("\n")
        if line.startswith(". .venv/")
    ]
    return f"{line}\n{block.text}"


def run_block(text: str, environ: Mapping[str, str], log: Path) -> None:
    server = _SERVER.search(text)
    with log.open("wb") as output, started(["sh", "-e", "-c", text], environ, output.fileno()) as process:
        if server:
            port = int(server[1])
            assert is_free(port), f"the block starts a server on port {port}, which the stack itself uses"
            wait_until(lambda: answers(port), process, log)
        else:
            assert process.wait(120) == 0, log.read_text()


def blocks_to_run(config: Path) -> list[Block]:
    return [block for block in all_blocks("sh") if CONFIGURATIONS.get(block.page) == config]


@pytest.mark.parametrize("block", blocks_to_run(EXAMPLE), ids=named)
def test_a_command_in_the_readme_works_as_it_is_shown(block: Block, stack: Stack, tmp_path: Path) -> None:
    run_block(stack.moved(with_activation(block)), stack.environ, tmp_path / "block.log")


@pytest.mark.parametrize("block", blocks_to_run(SUBSCRIBERS), ids=named)
def test_a_command_about_subscribers_works_as_shown(block: Block, subscribers_stack: Stack, tmp_path: Path) -> None:
    run_block(subscribers_stack.moved(block.text), subscribers_stack.environ, tmp_path / "block.log")


def test_each_event_that_the_readme_sends_becomes_a_mail_on_the_page(stack: Stack, tmp_path: Path) -> None:
    [block] = [block for block in blocks_to_run(EXAMPLE) if "hookchain send" in block.text]
    before = mails(stack)
    log = tmp_path / "block.log"
    run_block(stack.moved(with_activation(block)), stack.environ, log)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while mails(stack) < before + block.text.count("hookchain send"):
        assert time.monotonic() < deadline, f"{mails(stack) - before} mails; sent: {log.read_text()}"
        time.sleep(0.05)


def mails(stack: Stack) -> int:
    url = f"http://127.0.0.1:{stack.base + 10}/api/mail?limit=100"
    headers = {"Authorization": f"Bearer {page_token(Path(stack.environ['HOOKCHAIN_STATE']))}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        return len(json.load(answer)["mail"])


def test_a_command_on_another_page_is_one() -> None:
    for block in all_blocks("sh"):
        done = subprocess.run(["sh", "-n", "-c", block.text], capture_output=True, text=True)
        assert done.returncode == 0, f"{named(block)}: {done.stderr}"


@pytest.mark.parametrize("block", all_blocks("python"), ids=named)
def test_python_on_a_page_runs(block: Block, stack: Stack) -> None:
    command = [sys.executable, "-c", stack.moved(block.text)]
    environ = {**stack.environ, "PYTHONPATH": str(ROOT / "deploy" / "client")}  # as if it were installed
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=named)
def test_a_configuration_on_a_page_has_no_faults(block: Block) -> None:
    if re.search(r"^sources:", block.text, re.MULTILINE):
        check_config(parse_config(block.text, named(block), ROOT / "deploy"))
    else:
        yaml.safe_load(block.text)


def test_json_on_a_page_is_json() -> None:
    for block in all_blocks("json"):
        json.loads(block.text)


def test_every_block_is_of_a_kind_that_is_run_or_checked() -> None:
    kinds = {"sh", "python", "yaml", "json", ""}
    by_test_serve_proxies = {"caddyfile", "nginx"}
    assert not [named(block) for block in all_blocks() if block.language not in kinds | by_test_serve_proxies]


def test_the_readme_is_short_and_its_commands_are_seen() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert any(block.page == "README.md" for block in all_blocks("sh"))


def test_the_targets_of_make_that_the_pages_name_exist() -> None:
    output = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^  make (\S+)", output, re.MULTILINE))
    assert {"dev", "test", "check", "bench", "bundle"} <= targets
    for page in pages():
        named_here = set(re.findall(r"(?:`|^    |^)make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE))
        assert named_here <= targets, page
