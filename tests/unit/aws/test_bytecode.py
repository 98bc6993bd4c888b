"""The bytecode of the functions' packages."""

import importlib.util
import marshal
import sys
from pathlib import Path
from types import CodeType

from deploy.aws.sam import write_bytecode

UNCHECKED = (1).to_bytes(4, "little")


def compiled(package: Path) -> bytes:
    (package / "functions").mkdir(parents=True)
    (package / "functions" / "one.py").write_text(
        "KINDS = frozenset({'a', 'b', 'c'})\n\n\ndef f(x): return x in {1, 2}\n"
    )
    (package / "functions" / "none.py").write_text("print 'no module of this Python'\n")
    write_bytecode(package, Path(sys.executable))
    assert not Path(importlib.util.cache_from_source(package / "functions" / "none.py")).exists()
    return Path(importlib.util.cache_from_source(package / "functions" / "one.py")).read_bytes()


def test_bytecode_is_the_same_in_any_folder_and_used_whatever_the_time_of_its_source(tmp_path: Path) -> None:
    bytecode = compiled(tmp_path / "one")
    assert bytecode == compiled(tmp_path / "two")
    assert bytecode[4:8] == UNCHECKED
    code = marshal.loads(bytecode[16:])
    assert isinstance(code, CodeType)
    assert code.co_filename == "/var/task/functions/one.py"
