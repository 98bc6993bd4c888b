"""The YAML files that are part of the program, such as the catalogue of providers."""

from pathlib import Path

import yaml

from shared.jsontext import JsonObject


def load_data(path: Path) -> JsonObject:
    """Return the content of a file that is part of the program."""
    content: JsonObject = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return content
