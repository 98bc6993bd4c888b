"""What is deployed does what its configuration's own tests say."""

from collections.abc import Mapping
from pathlib import Path

from deploy.config.compiler import compile_config, read_config
from deploy.explain.config_tests import run_config_tests
from deploy.terminal.command_error import CommandError


def refuse_failing_tests(config: Path | None, environ: Mapping[str, str]) -> int:
    """How many passed. Raises CommandError where one fails, and ConfigFaults."""
    file = read_config(config, environ)
    results = run_config_tests(file.document, compile_config(file), file.folder)
    failed = [each for each in results if not each.passed]
    if failed:
        lines = [line for each in failed for line in (f"{each.name}:", *(f"  {line}" for line in each.lines))]
        how = f"nothing is deployed: {len(failed)} of the configuration's {len(results)} tests fail"
        raise CommandError("\n".join([f"{how} (`hookchain test`)", *lines]))
    return len(results)
