"""The start of subscribe is light: what few requests need is imported when one comes."""

import subprocess
import sys

from tests.processes import ROOT

SCRIPT = """
import functions_framework.aio, sys
framework = set(sys.modules)
import functions.subscribe.main
print(*sys.modules.keys() - framework)
"""
HEAVY = ("cryptography", "jmespath", "jsonschema", "yaml", "ssl", "google", "functions.subscribe.handlers")


def test_the_start_imports_no_handler_and_nothing_for_ciphers_filters_or_schemas() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert not [
        module
        for module in done.stdout.split()
        if any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY)
    ]
