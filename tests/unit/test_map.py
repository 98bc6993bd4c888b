"""functions/README.md says where things are decided."""

import re

from tests.running.processes import ROOT

PAGE = (ROOT / "functions" / "README.md").read_text(encoding="utf-8")


def test_every_file_and_name_of_the_map_exists() -> None:
    places = re.findall(r"`((?:deploy|functions|shared)/[\w./]+)`(?:: `(\w+)`)?", PAGE)
    assert len(places) > 20
    missing = [
        f"{file}: {name}"
        for file, name in places
        if not (path := ROOT / file).exists()
        or (
            name
            and not re.search(rf"^(?:(?:async )?def |class )?{name}\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        )
    ]
    assert not missing
