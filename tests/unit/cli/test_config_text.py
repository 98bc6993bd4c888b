"""A configuration text of an assistant: it is checked as a file would be, and reads nothing that it should not."""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.cli import config_text
from deploy.cli.config_text import NAME, check_text, checked
from deploy.cli.fenced_folder import FencedFolder, NotAllowed
from deploy.terminal.command_line import CommandError
from shared.jsontext import JsonObject
from tests.fakes.command import as_objects

CANARY: Final = "canary-of-a-file"
BASE: Final[JsonObject] = {
    "sources": {"web": {"auth": "none"}},
    "routes": [{"name": "all", "to": "people"}],
    "destinations": {"people": {"email": {"to": ["ann@example.com"]}}},
}


def naming(place: str, name: str) -> str:
    """Return a configuration that names a file in one of the places where it can."""
    files: dict[str, JsonObject] = {
        "schema": {"sources": {"web": {"auth": "none", "schema": name}}},
        "step": {"routes": [{"name": "all", "steps": [{"lint": {"schema": name}}], "to": "people"}]},
        "step file": {
            "routes": [{"name": "all", "steps": [{"template": {"data.text": {"file": name}}}], "to": "people"}]
        },
        "chain": {"chains": {"tidy": [{"lint": {"schema": name}}]}},
        "mail": {"destinations": {"people": {"email": {"to": ["ann@example.com"], "text": {"file": name}}}}},
        "people": {"people": {"file": name}},
        "test": {"tests": [{"name": "one", "input": {"source": "web", "file": name}, "expect": []}]},
        "event types": {"subscribers": {"event_types": {"file": name}}},
        "event types in several": {"subscribers": {"event_types": {"file": ["types.json", name]}}},
        "schema of an event type": {"subscribers": {"event_types": {"order.paid": {"schema": name}}}},
    }
    return json.dumps({**BASE, **files[place]})


PLACES: Final = (
    *("schema", "step", "step file", "chain", "mail", "people", "test", "event types", "event types in several"),
    "schema of an event type",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A configuration's folder. Nothing outside of it, and nothing that may be a secret, is opened in a test."""
    folder = tmp_path / "configuration"
    (folder / "links").mkdir(parents=True)
    (folder / "state").mkdir()
    outside = tmp_path / "outside.json"
    forbidden = [
        outside,
        *(folder / name for name in (".hidden.json", "prod.env", "state/x.json", "tool.py", "id_rsa")),
    ]
    for path in (*forbidden, folder / "types.json"):
        path.write_text("{}", encoding="utf-8")
    (folder / "link.json").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    (folder / "links" / "link.json").symlink_to(outside)
    (folder / "dotted.json").symlink_to(folder / ".hidden.json")
    (folder / "python.txt").symlink_to(folder / "tool.py")
    opened = Path.open

    def watched(path: Path, *arguments: object, **options: object) -> object:
        assert "\0" in str(path) or Path(os.path.realpath(path)) not in forbidden
        return opened(path, *arguments, **options)  # type: ignore[call-overload] # as it was called

    monkeypatch.setattr(Path, "open", watched)
    yield folder
    FencedFolder.excluded = ()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "name",
    [
        *("/etc/passwd", "../outside.json", "link.json", "up/outside.json", "links/../../outside.json"),
        *("links/../link.json", ".hidden.json", "./.hidden.json", "dotted.json", "prod.env", "state/x.json"),
        *("../configuration/prod.env", "tool.py", "id_rsa", "python.txt"),
    ],
)  # fmt: skip
def test_a_file_outside_and_one_with_secrets_is_not_opened(place: str, name: str, folder: Path) -> None:
    action = "test" if place == "test" else "lint"
    with pytest.raises(NotAllowed, match="is not allowed"):
        checked(action, naming(place, name), folder, [folder / "prod.env", folder / "state"])


SECRETS: Final = (
    "# settings\nexport SHOP_KEY=abc\n",
    "UNUSED_SECRET = 'abc'",
    "\ufeffSHOP_KEY=abc\n",
    "# settings\rSHOP_KEY=abc\r",
    "environment:\n  - SHOP_KEY=abc\n",
    "env: |\n  SHOP_KEY=abc\n",
    "$env:SHOP_KEY='abc'",
    'declare -x SHOP_KEY="abc"',
    "_SHOP_KEY=abc",
    "-----BEGIN RSA PRIVATE KEY-----\nabc",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQOYBF",
    "PuTTY-User-Key-File-3: ssh-ed25519",
    "AGE-SECRET-KEY-1QQQ",
    '{"type": "service_account", "private_key": "abc"}',
    '{"type": "authorized_user", "refresh_token": "abc"}',
    '{"installed": {"client_id": "1.apps.example", "client_secret": "GOCSPX-abc"}}',
    "Access key ID,Secret access key\nAKIA,abc\n",
    "AWSAccessKeyId=AKIA\nAWSSecretKey=abc\n",
    '{"kty": "RSA", "n": "0vx7agoebG", "e": "AQAB", "d": "X4cTteJYgn"}',
    "keys:\n- kty: oct\n  k: GawgguFyGr\n",
)


IN_A_FOLDER: Final = ("event types", "types")


@pytest.mark.parametrize(
    ("place", "name", "content"),
    [
        *((place, "notes.txt", SECRETS[0].encode()) for place in PLACES),
        *((*IN_A_FOLDER, content.encode()) for content in SECRETS),
        (*IN_A_FOLDER, SECRETS[0].encode("utf-16")),
    ],
)
def test_a_file_that_looks_like_secrets_is_rejected(place: str, name: str, content: bytes, folder: Path) -> None:
    (folder / "types").mkdir()
    for secret in ("notes.txt", "types/notes.json"):
        (folder / secret).write_bytes(content)
    with pytest.raises(NotAllowed, match=r"notes\.\w+' is not allowed: it looks like an env file or a private key"):
        checked("lint", naming(place, name), folder)


PUBLIC_KEY: Final = '{"kty": "RSA", "n": "0vx7agoebG", "e": "AQAB", "kid": "2011-04-29"}'


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        *(("txt", text) for text in ("Total = 5\nA: 1", "id,KEY\n1,2", "Sid=1&Body=x", "aGk=\nQUJD=\n", PUBLIC_KEY)),
        ("txt", "Hello\n\nORDER={{ data.order }}\nTOTAL = {{ data.total }}\n"),
        ("xml", '<samlp:Response xmlns:samlp="urn:oasis"\n    ID="_8e8dc5f69a98cc4c1ff3427e5ce34606fd672f91e6"\n/>\n'),
        ("form", "SALEDATE=2026-11-26&REFNO=1"),
        ("ics", "BEGIN:VCALENDAR\r\nATTENDEE;RSVP=TRUE;\r\n CN=Ada:mailto:ada@example.com\r\n"),
        ("eml", "Content-Transfer-Encoding: quoted-printable\r\n\r\nGR=C3=9C=C3=9FE\r\n"),
        ("md", "Run:\n\n    PORT_BASE=9000 make dev\n"),
        ("csv", "name\nID=5\n"),
    ],
)
def test_a_file_with_data_is_read(ending: str, content: str, folder: Path) -> None:
    (folder / f"notes.{ending}").write_text(content, encoding="utf-8")
    assert checked("lint", naming("test", f"notes.{ending}"), folder)["faults"] == []


@pytest.mark.parametrize("ending", ["form", "ics", "eml", "md", "csv", "xml"])
def test_an_env_file_with_the_ending_of_a_text_is_rejected(ending: str, folder: Path) -> None:
    (folder / f"notes.{ending}").write_text("# settings\nexport SHOP_KEY=abc\nSHOP_URL=b\n", encoding="utf-8")
    with pytest.raises(NotAllowed, match="it looks like an env file"):
        checked("lint", naming("test", f"notes.{ending}"), folder)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, lambda content: zlib.compress(content, wbits=-15)])
def test_a_compressed_file_is_rejected(compress: Callable[[bytes], bytes], folder: Path) -> None:
    (folder / "notes.bin").write_bytes(compress(SECRETS[0].encode()))
    with pytest.raises(NotAllowed, match="it is compressed"):
        checked("lint", naming("test", "notes.bin"), folder)


def test_a_picture_that_has_the_bytes_of_an_env_line_by_chance_is_read(folder: Path) -> None:
    (folder / "body.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\nA1=b")
    assert checked("lint", naming("test", "body.png"), folder)["faults"] == []


@pytest.mark.parametrize(
    ("place", "name"),
    [("event types", "links"), ("event types in several", "links"), ("schema", "{folder}/types.json")],
    ids=["a folder with a link to the outside", "such a folder beside a file", "an absolute path"],
)
def test_a_folder_or_a_path_that_leads_outside_is_not_read(place: str, name: str, folder: Path) -> None:
    with pytest.raises(NotAllowed):
        checked("lint", naming(place, name.format(folder=folder)), folder)


@pytest.mark.parametrize("place", PLACES)
def test_a_file_in_the_folder_is_read_as_in_a_file(place: str, folder: Path) -> None:
    rule = "there is no file" if place == "test" else "cannot be read"
    document = checked("lint", naming(place, "types.json"), folder)
    assert document["file"] == NAME
    assert rule not in json.dumps(document)
    assert rule in json.dumps(checked("lint", naming(place, "gone.json"), folder))
    assert rule in json.dumps(checked("lint", naming(place, "a" * 300), folder))
    assert checked("lint", naming(place, "a\0b"), folder)["faults"]


@pytest.mark.parametrize(
    "text",
    [
        "steps_from: [own.py]",
        "destinations_from: [own.py]",
        "steps_from: own.py",
        "steps_from: []",
        "base: &base {steps_from: [own.py]}\n<<: *base",
        '"steps\\x5ffrom": [own.py]',
        "sources: {}\nsteps_from: [own.py]\nsteps_from: [types.json]",
        "sources: 5\ndestinations_from: [/etc/passwd]",
    ],
)
@pytest.mark.parametrize("action", ["lint", "test"])
def test_own_python_is_rejected_before_anything_is_loaded(action: str, text: str, folder: Path) -> None:
    (folder / "own.py").write_text("raise AssertionError('this was run')", encoding="utf-8")
    with pytest.raises(NotAllowed, match="a text can name no Python files"):
        checked(action, text, folder)


def test_faults_warnings_and_tests_are_those_of_the_commands(folder: Path) -> None:
    [fault] = as_objects(
        checked("lint", json.dumps({**BASE, "routes": [{"name": "all", "to": "poeple"}]}), folder)["faults"]
    )
    assert "did you mean 'people'" in str(fault["rule"])
    assert checked("lint", json.dumps(BASE), folder)["faults"] == []
    case: JsonObject = {"name": "one", "input": {"source": "web", "body": {}}, "expect": [{"to": "people"}]}
    passed = checked("test", json.dumps({**BASE, "tests": [case]}), folder)
    assert passed == {"tests": [{"name": "one", "passed": True, "lines": []}]}
    assert as_objects(checked("test", "routes: 5", folder)["faults"])
    assert as_objects(checked("test", "a: [", folder)["faults"])


# In a process of its own


def test_the_process_has_no_secret_and_returns_what_it_finds(folder: Path) -> None:
    environ = {"WEB_KEY": CANARY, "PATH": os.environ["PATH"]}
    assert check_text("lint", json.dumps(BASE), folder, [], environ)["faults"] == []
    with pytest.raises(CommandError, match=r"is not allowed.*Nothing was checked"):
        check_text("lint", naming("schema", "../outside.json"), folder, [], environ)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 30_000,
        "a: &a [x, x]\n"
        + "\n".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]" for n in range(24)),
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ 'x' * 10000000000 }}",
        "{% for a in range(999999999) %}{% endfor %}",
    ],
)
def test_a_text_that_takes_all_time_or_memory_ends_and_is_answered(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_text, "MAX_SECONDS", 10)
    written = text
    if text.startswith("{"):
        case: JsonObject = {"name": "one", "input": {"source": "web", "body": {}}, "expect": []}
        email: JsonObject = {"people": {"email": {"to": ["ann@example.com"], "text": text}}}
        written = json.dumps({**BASE, "destinations": email, "tests": [case]})
    try:
        document = check_text("test", written, folder, [], {})
    except CommandError as error:
        assert "longer than" in str(error) or "too much memory" in str(error)
    else:
        assert document["tests"] or document["faults"]


LISTED_OFTEN: Final = """
sources: {web: {auth: none}}
routes: [{name: all, to: people}]
destinations: {people: {webhook: {url: "https://list.example/in"}}}
tests:
  - {name: one, input: {source: web, body: {}}, expect: [{to: people, request: {holds: [&a "%s", %s]}}]}
"""


def test_of_a_long_result_only_a_part_is_read(folder: Path) -> None:
    faults = check_text("lint", "routes: [" + "{}, " * 1_000 + "]", folder, [], {})
    assert len(as_objects(faults["faults"])) == config_text.MAX_ENTRIES
    assert int(str(faults["left_out"])) >= 800
    text = LISTED_OFTEN % ("%41" * 3_000, ", ".join(["*a"] * 500))
    with pytest.raises(CommandError, match="more than 1,000,000 bytes"):
        check_text("test", text, folder, [], {})
