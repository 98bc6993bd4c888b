"""The configuration that counts, compiled, and the slices on disk that the functions read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.config.checkout import OWN_CONFIG, choose_config
from deploy.config.compiler import compile_config, read_config, secrets_needed
from deploy.config.faults import ConfigFaults
from deploy.dev.supervisor.plan import Place
from deploy.dev.supervisor.watch import SUFFIXES
from shared.jsontext import Json, JsonObject, to_json

PRIVATE_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Configuration:
    """`path` is None in the mode without a file. `files`: what to watch, the file and all that it names,
    and the operator's own, which may yet be written."""

    path: Path | None
    slices: Mapping[str, JsonObject]
    files: tuple[Path, ...]

    @property
    def title(self) -> str:
        return str(self.path) if self.path else "no file: webhooks are mailed to EMAIL_ADDRESS"

    def secrets_of(self, function: str) -> list[str]:
        return secrets_needed({function: self.slices[function]})


def load_configuration(environ: Mapping[str, str], root: Path) -> Configuration:
    """Raises ConfigFaults."""
    path = choose_config(environ, root)
    return Configuration(path, compile_config(read_config(path, environ)), files_to_watch(environ, root))


def files_to_watch(environ: Mapping[str, str], root: Path) -> tuple[Path, ...]:
    """Of a configuration with faults too: what mends it may be in any of them, or be one that is not there yet."""
    path = choose_config(environ, root)
    own = () if environ.get("HOOKCHAIN_CONFIG") else (root / OWN_CONFIG,)
    try:
        file = read_config(path, environ)
    except ConfigFaults:
        named: tuple[Path, ...] = ()
    else:
        named = tuple(_named_files(file.document, file.folder)) if path else ()
    return (*((path,) if path else ()), *named, *own)


def _named_files(value: Json, folder: Path) -> Iterator[Path]:
    """Templates, schemas: every text in the configuration that could be the name of a file."""
    if isinstance(value, str):
        if (
            len(value) < 256
            and value.isprintable()
            and Path(value).suffix in SUFFIXES
            and not (folder / value).is_dir()
        ):
            yield folder / value
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _named_files(each, folder)


def write_slices(slices: Mapping[str, JsonObject], place: Place) -> tuple[str, ...]:
    """Answers the functions whose slice is another than the one on disk."""
    changed = []
    for function, document in slices.items():
        path, text = place.slice_file(function), to_json(document)
        path.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            written = path.with_suffix(".new")
            written.write_text(text, encoding="utf-8")
            written.replace(path)
            changed.append(function)
    return tuple(changed)
