"""Print the CPU seconds that reading and compiling a configuration takes: `compile.py FILE`."""

import sys
import time
from pathlib import Path

from deploy.config.compiler import compile_config
from deploy.config.config_file import read_config_file


def main(config: Path) -> float:
    began = time.process_time()
    compile_config(read_config_file(config))
    return time.process_time() - began


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
