"""`hookchain test`: run the tests that the configuration defines."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.config import checkout, compiler, config_file, configured
from deploy.explain.config_tests import CaseResult, run_config_tests
from deploy.terminal.output import GREEN, RED, Screen, count_of, print_json, printable, stdout_screen
from shared.jsontext import JsonObject


def main(arguments: list[str]) -> int:
    command = parser("test")
    configured.add_configuration(command)
    command.add_argument("--json", action="store_true", help="print one JSON object: the tests and their failures")
    options = command.parse_args(arguments)
    return run_command("test", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        results = _results(options)
    except config_file.ConfigFaults as found:
        if options.json:
            print_json(faults_document(found))
            return NOT_DONE
        raise
    if options.json:
        print_json(results_document(results))
    else:
        _print(results, stdout_screen())
    return DONE if all(each.passed for each in results) else NOT_DONE


def results_document(results: Sequence[CaseResult]) -> JsonObject:
    return {"tests": [{"name": each.name, "passed": each.passed, "lines": list(each.lines)} for each in results]}


def faults_document(found: config_file.ConfigFaults) -> JsonObject:
    """Return the document for a configuration with faults, which has no results."""
    return {"file": found.file, "faults": [*map(asdict, found.faults)], "tests": []}


def _results(options: argparse.Namespace) -> list[CaseResult]:
    environ = configured.checked_environ(options)
    chosen = checkout.config_to_check(options.config, environ)
    if not options.json:
        print(chosen.line, flush=True)
    file = compiler.read_config(chosen.path, environ)
    return run_config_tests(file.document, compiler.compile_config(file), chosen.path.parent if chosen.path else Path())


def _print(results: Sequence[CaseResult], screen: Screen) -> None:
    for each in results:
        mark = screen.coloured("ok  ", GREEN) if each.passed else screen.coloured("FAIL", RED)
        print(f"{mark}  {printable(each.name)}")
        for line in each.lines:
            print(f"        {printable(line)}")
    failed = sum(not each.passed for each in results)
    print(f"{count_of(len(results), 'test')}, {failed} failed" if results else "The configuration has no `tests`.")
