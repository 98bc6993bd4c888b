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


def test_bytecode_is_used_whatever_the_time_of_its_source(tmp_path: Path) -> None:
    assert compiled(tmp_path / "package")[4:8] == UNCHECKED


def test_bytecode_names_the_modules_folder_on_lambda(tmp_path: Path) -> None:
    code = marshal.loads(compiled(tmp_path / "package")[16:])
    assert isinstance(code, CodeType)
    assert code.co_filename == "/var/task/functions/one.py"


def test_the_same_modules_have_the_same_bytecode_in_another_folder(tmp_path: Path) -> None:
    assert compiled(tmp_path / "one") == compiled(tmp_path / "two")
