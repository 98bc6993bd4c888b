"""The configuration that `hookchain dev` and `hookchain serve` serve: its slices, and the files to watch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.config import checkout, compiler
from deploy.config.config_file import ConfigFaults, ConfigFile, texts_in
from deploy.config.sections.subscribers import event_type_files
from deploy.dev.supervisor import processes
from deploy.secrets.needs import token_names
from shared.jsontext import JsonObject, mappings_at, to_json

SUFFIXES: Final = frozenset({".py", ".yaml", ".yml", ".json", ".csv", ".html", ".txt", ".css", ".js", ".pem"})
"""Of the files whose change can matter to a process."""
MAX_PATH_CHARACTERS: Final = 255
"""A longer text in the configuration is not the name of a file."""
PRIVATE_MODE: Final = 0o700
"""Of folders that only this user may read."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration that is served.

    path       None in the mode without a file
    files      the files to watch: the file, all that it names, and the operator's own, which may still be written
    providers  the catalogue's, by source
    tokens     the names of the secrets that only `hookchain hooks` reads
    own_file   the file if it is the operator's own: its warnings are reported
    """

    path: Path | None
    slices: Mapping[str, JsonObject]
    files: tuple[Path, ...]
    providers: Mapping[str, str]
    tokens: tuple[str, ...] = ()
    own_file: ConfigFile | None = None

    @property
    def title(self) -> str:
        return checkout.title_of(self.path) if self.path else "no file; webhooks are mailed to EMAIL_ADDRESS"

    def secrets_of(self, function: str) -> list[str]:
        return compiler.secrets_needed({function: self.slices[function]})


def load_configuration(environ: Mapping[str, str], root: Path, *, is_production: bool = False) -> Configuration:
    """Return the configuration that the environment names. Raises ConfigFaults."""
    path = checkout.choose_config(environ, root)
    file = compiler.read_config(path, environ)
    slices = compiler.compile_config(file)
    if not is_production:
        _allow_this_machine(slices)
    is_own = path is not None and path != root / checkout.EXAMPLE_CONFIG
    sources = mappings_at(file.document, "sources")
    providers = {name: str(source["provider"]) for name, source in sources.items() if "provider" in source}
    files = _files_of(path, file, environ, root)
    tokens = tuple(token_names(file.document))
    return Configuration(path, slices, files, providers, tokens, file if is_own else None)


def _allow_this_machine(slices: Mapping[str, JsonObject]) -> None:
    """Change the slices so that endpoints of subscribers can be on this machine, and links lead to it."""
    for function in ("notify", "subscribe"):
        section = slices.get(function, {}).get("subscribers")
        if isinstance(section, dict):
            section.update(allow_http=True, allow_private=True)
            if "public_url" in section:
                section["public_url"] = None


def files_to_watch(environ: Mapping[str, str], root: Path) -> tuple[Path, ...]:
    """Return the files of the configuration as it is on disk now, with or without faults.

    A fault may be fixed in any of them, or by one that does not exist yet.
    """
    path = checkout.choose_config(environ, root)
    try:
        file = compiler.read_config(path, environ)
    except ConfigFaults:
        file = None
    return _files_of(path, file, environ, root)


def _files_of(path: Path | None, file: ConfigFile | None, environ: Mapping[str, str], root: Path) -> tuple[Path, ...]:
    """Return the configuration's file, those that it names, and those that would be chosen if they were written."""
    files = [path] if path else []
    if path and file:
        files += _named_files(file)
    if not environ.get("HOOKCHAIN_CONFIG"):
        files += [root / each for each in checkout.OWN_CONFIGS]
    if file:
        files += event_type_files(file)
    return tuple(files)


def _named_files(file: ConfigFile) -> Iterator[Path]:
    """Yield each text in the configuration that could be the name of a file: a template, a schema."""
    for text in texts_in(file.document):
        is_name = len(text) <= MAX_PATH_CHARACTERS and text.isprintable() and Path(text).suffix in SUFFIXES
        if is_name and not (file.folder / text).is_dir():
            yield file.folder / text


def write_slices(slices: Mapping[str, JsonObject], folders: processes.Folders) -> tuple[str, ...]:
    """Write the slices that changed; return their functions. One that is not needed any more is removed.

    Raises OSError. If a slice cannot be written, none has changed.
    """
    new_files: dict[str, Path] = {}
    for function, document in slices.items():
        path, text = folders.slice_file(function), to_json(document)
        path.parent.mkdir(mode=PRIVATE_MODE, parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            new_files[function] = path.with_suffix(".new")
            new_files[function].write_text(text, encoding="utf-8")
    for function, new_file in new_files.items():
        new_file.replace(folders.slice_file(function))
    for function in compiler.OPTIONAL:
        if function not in slices:
            folders.slice_file(function).unlink(missing_ok=True)
    return tuple(new_files)
