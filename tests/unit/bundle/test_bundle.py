"""A bundle: its files, and the packages that its configuration uses."""

import os
import re
import shutil
import tomllib
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

from deploy.bundle.bundle import CannotDeploy, NotABundle, bundle_files, contents, write
from deploy.bundle.requirements import PinsFault, needed_extras, requirements
from deploy.cli import bundle
from deploy.config.compiler import compile_file
from shared.jsontext import JsonObject
from tests.fakes.configurations import compile_text

SLICE: JsonObject = {"function": "receive", "sources": {}}


def tree(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    """Mode, time and content of everything in it."""
    found: dict[str, tuple[int, float, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        state = path.stat()
        found[str(path.relative_to(folder))] = (
            state.st_mode,
            state.st_mtime,
            b"" if path.is_dir() else path.read_bytes(),
        )
    return found


def copy_of_checkout(root: Path, to: Path) -> Path:
    for name in ("functions", "shared", "deploy"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", to)
    return to


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes_modes_and_times_from_any_folder(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "first", contents(root, "receive", SLICE, "gcp"))
    moved = copy_of_checkout(root, tmp_path / "elsewhere")
    (moved / "shared" / "__pycache__").mkdir()
    (moved / "shared" / "__pycache__" / "event.cpython-313.pyc").write_bytes(b"")
    umask = os.umask(0o077)
    try:
        write(tmp_path / "second", contents(moved, "receive", SLICE, "gcp"))
        write(tmp_path / "second", contents(moved, "receive", SLICE, "gcp"))
    finally:
        os.umask(umask)
    assert tree(tmp_path / "first") == tree(tmp_path / "second")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_gcloud_uploads_a_bundle_whole_and_of_a_checkout_no_secret_and_no_state(root: Path) -> None:
    files = contents(root, "receive", SLICE, "gcp")
    ignored = files[PurePosixPath(".gcloudignore")].decode().splitlines()
    patterns = [line.strip("/") for line in ignored if not line.startswith("#")]
    left_out = [place for place in files if any(fnmatch(part, each) for part in place.parts for each in patterns)]
    assert left_out == [PurePosixPath(".gcloudignore")]
    of_the_checkout = (root / ".gcloudignore").read_text().splitlines()
    configurations = {"deploy/hookchain.yaml", "deploy/hookchain.yml"}
    by_git = set((root / ".gitignore").read_text().splitlines()) - configurations
    assert by_git <= set(of_the_checkout), "the configuration is no secret, and a checkout without it does nothing"


@pytest.mark.parametrize("function", ["receive", "transform", "notify", "subscribe"])
def test_a_bundle_holds_its_function_and_no_other_part_of_the_checkout(root: Path, function: str) -> None:
    places = {place.as_posix() for place in bundle_files(root, function, "gcp")}
    assert {"main.py", "functions/__init__.py", f"functions/{function}/wiring.py", "shared/event.py"} <= places
    tops = {place.split("/")[0] for place in places}
    assert tops == {"main.py", "functions", "shared"}
    folders = {place.split("/")[1] for place in places if place.startswith("functions/")}
    assert folders == {"__init__.py", function}
    assert not [place for place in places if place.startswith("shared/cloud/aws/")]
    assert {"shared/cloud/local/journal.py", "shared/cloud/local/journal.sql"} <= places
    assert f"functions/{function}/main.py" not in places


@pytest.mark.parametrize("function", ["receive", "transform", "notify", "subscribe"])
def test_a_bundle_for_aws_has_no_framework_cloud_library_or_port_of_another_platform(root: Path, function: str) -> None:
    config = root / "deploy" / "recipes" / "subscribers" / "hookchain.yaml"
    files = contents(root, function, compile_file(config, {})[function], "aws")
    pinned = re.findall(rb"^([a-z0-9-]+)==", files[PurePosixPath("requirements.txt")], re.MULTILINE | re.IGNORECASE)
    assert b"httptools" in pinned
    assert not {b"functions-framework", b"uvloop", b"boto3", b"google-auth"}.intersection(pinned)
    places = {place.as_posix() for place in files}
    assert not [place for place in places if place.startswith(("shared/cloud/gcp/", "shared/cloud/local/"))]
    assert not {"main.py", "lambda_handler.py", f"functions/{function}/main.py", ".gcloudignore"} & places
    assert "shared/cloud/aws/sqs.py" in places


def test_what_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "receive").mkdir()
    (tmp_path / "receive" / "diary.txt").write_text("dear diary")
    with pytest.raises(NotABundle, match="choose another folder with --out"):
        write(tmp_path / "receive", {PurePosixPath("slice.json"): b"{}"})
    assert (tmp_path / "receive" / "diary.txt").is_file()


def bundled(folder: Path, *arguments: str) -> int:
    (folder / ".env").touch()
    return bundle.main(["--out", str(folder / "build"), "--env-file", str(folder / ".env"), *arguments])


def test_the_command_writes_all_three_and_says_of_which_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_ADDRESS", "ann@example.com")
    assert bundled(tmp_path, "--config", "none") == 0
    assert sorted(path.name for path in (tmp_path / "build").iterdir()) == ["notify", "receive", "transform"]
    assert re.search(r"receive: \d+ files, \d+ KiB", capsys.readouterr().out)


def test_a_faulty_configuration_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundled(tmp_path, "--config", "none") == 1
    assert "EMAIL_ADDRESS" in capsys.readouterr().err
    assert not (tmp_path / "build").exists()


@pytest.mark.slow
def test_what_is_bundled_is_what_env_says_as_for_every_command(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOOKCHAIN_CONFIG=none\nEMAIL_ADDRESS=bob@example.com\n")
    assert bundled(tmp_path) == 0
    assert "bob@example.com" in (tmp_path / "build" / "notify" / "slice.json").read_text()


# The packages that a configuration uses


def compiled(source: str = "auth: none", steps: str = "[]") -> dict[str, JsonObject]:
    text = f"sources: {{a: {{{source}}}}}\nroutes: [{{name: r, steps: {steps}, to: d}}]\n"
    text += "destinations: {d: {email: {to: a@b.example}}}\n"
    return compile_text(text)


@pytest.mark.parametrize(
    ("source", "extras"),
    [
        ("auth: none", ()),
        ("auth: none, schema: {type: object}", ("schema",)),
        ("auth: {scheme: standard-webhooks, secret: key}", ("crypto",)),
        ("auth: {scheme: jwt, algorithms: [RS256, ES256], secret: key}", ("crypto",)),
        ("provider: aws_sns", ("crypto",)),
    ],
)
def test_receive_needs_what_its_sources_use(source: str, extras: tuple[str, ...]) -> None:
    assert needed_extras("receive", compiled(source)["receive"]) == extras


def test_transform_needs_what_its_steps_say() -> None:
    slices = compiled(steps="[{drop: [data.x]}, {lint: {schema: {type: object}}}]")
    assert "schema" in needed_extras("transform", slices["transform"])
    assert needed_extras("transform", compiled()["transform"]) == ()


def test_notify_needs_what_its_kinds_say(tmp_path: Path) -> None:
    source = "class Settings(BaseModel):\n    extras: ClassVar = ('jwe',)\n\nEXAMPLES = ()\nrequest = outcome = print\n"
    imports = "from typing import ClassVar\nfrom pydantic import BaseModel\n"
    (tmp_path / "beacon.py").write_text(imports + source, encoding="utf-8")

    def extras(destination: str) -> tuple[str, ...]:
        text = "sources: {a: {auth: none}}\nroutes: [{name: r, to: d}]\ndestinations_from: [beacon.py]\n"
        text += f"destinations: {{d: {destination}}}\n"
        return needed_extras("notify", compile_text(text, tmp_path)["notify"])

    assert extras("{apprise: {secret: gotify-url}}") == ("apprise",)
    assert extras("{beacon: {}}") == ("jwe",)
    assert extras("{ntfy: {topic: a}}") == ()


@pytest.mark.parametrize(("secret", "extras"), [("secret: robot-key", ("crypto",)), ("", ())])
def test_the_key_of_a_service_account_needs_cryptography(secret: str, extras: tuple[str, ...]) -> None:
    call = f"{{url: 'https://api.example.com/in', auth: {{scheme: google_oauth, {secret}}}}}"
    assert needed_extras("transform", compiled(steps=f"[{{call: {call}}}]")["transform"]) == extras
    destination: JsonObject = {"kind": "email", "settings": {"auth": [{"scheme": "google_oauth", "secret": "key"}]}}
    assert needed_extras("notify", {"destinations": {"api": destination}}) == ("crypto",)


def test_a_plan_for_aws_lists_every_destination_that_cannot_be_deployed_there(root: Path) -> None:
    text = """
sources: {a: {auth: none}}
routes: [{name: r, to: [image, hooked, topic, files, rows]}]
destinations:
  image: {cloud_build: {project: shop, trigger: image}}
  hooked: {cloud_build: {webhook_secret: build-url}}
  topic: {bus: {pubsub: projects/shop-project/topics/orders}}
  files: {object: {bucket: "gs://shop-files", key: "{{ delivery_id }}"}}
  rows: {sql: {driver: sqlite, database: rows.db, table: rows, columns: {a: data.a}}}
"""
    notify = compile_text(text)["notify"]
    with pytest.raises(CannotDeploy) as fault:
        contents(root, "notify", notify, "aws")
    assert [line.partition(":")[0] for line in str(fault.value).splitlines()] == [
        "destinations.rows.sql.driver",
        "destinations.image.cloud_build.secret",
        "destinations.topic.bus.secret",
        "destinations.files.object.secret",
    ]


# Requirements of the operator

PINS = """\
# made by hand
apple==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via hookchain (pyproject.toml)
core-lib==3 ; sys_platform == 'linux' \\
    --hash=sha256:cc
    # via apple
deep==4 \\
    --hash=sha256:ee
    # via core-lib
"""
PYPROJECT = """\
[project.optional-dependencies]
receive = ["Apple>=1"]
notify = ["hookchain[receive]"]
lost = ["elder"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pins.txt").write_text(PINS)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def names(folder: Path, *extras: str) -> list[str]:
    return re.findall(r"^(\S+)==", requirements(folder / "pyproject.toml", folder / "pins.txt", extras), re.MULTILINE)


def test_what_an_extra_needs_comes_with_what_that_needs(folder: Path) -> None:
    assert names(folder, "notify") == ["apple", "core-lib", "deep"]


def test_a_package_without_a_pin_is_a_fault_that_says_what_to_run(folder: Path) -> None:
    with pytest.raises(PinsFault, match=r"no version of elder\. Update it with `make pins`"):
        names(folder, "lost")


def test_an_extra_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(PinsFault, match="no extra 'azure'; there are: lost, notify, receive"):
        names(folder, "azure")


def test_the_committed_pins_have_what_every_extra_needs(root: Path) -> None:
    """Without a pin, `make check` installs whatever is newest."""
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert requirements(root / "pyproject.toml", root / "deploy" / "pins.txt", tuple(extras))


@pytest.mark.parametrize("function", ["receive", "transform", "notify", "subscribe"])
def test_the_committed_pins_have_every_extra_with_hashes_and_no_host(root: Path, function: str) -> None:
    text = requirements(root / "pyproject.toml", root / "deploy" / "pins.txt", (function, "gcp"))
    assert "functions-framework==" in text
    assert "pytest" not in text
    blocks = re.split(r"\n(?=\S)", text.rstrip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in (root / "deploy" / "pins.txt").read_text()


def test_receive_needs_no_model_library_and_no_templates(root: Path) -> None:
    text = requirements(root / "pyproject.toml", root / "deploy" / "pins.txt", ("receive",))
    assert not re.search(r"^(pydantic|jmespath|jinja2|sendgrid|google-\S+)==", text, re.MULTILINE)
