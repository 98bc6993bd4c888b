"""The folders of a run, all of which are deleted when the process ends.

ext4 without a journal, as a small virtual machine may have it, makes no file where one was deleted within minutes, but
looks at each such place whenever it makes one. The folders of the rows before, deleted at their end, took a fifth of a
body of 1 MB. So let some minutes pass between runs.
"""

import tempfile
from functools import cache
from pathlib import Path


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(dir=_whole().name))


@cache
def _whole() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bench-")
