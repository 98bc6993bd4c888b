"""`hookchain test`: run the tests that the configuration defines."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, parser, run_command
from deploy.config import checkout, compiler, config_file, configured
from deploy.explain.config_tests import CaseResult, run_config_tests
from deploy.terminal.output import GREEN, RED, Screen, count_of, print_json, printable, stdout_screen
from shared.jsontext import Json, JsonObject

DETAILS: Final = """\
In hookchain.yaml:
  tests:
    - name: a paid sign-up goes to the list
      input: {source: signup-form, body: {event: signup.created, plan: pro, password: x}}
      expect:
        - {to: newsletter-list, data: {event: signup.created, plan: pro}, mail: {subject: "New signup"}}

`input` has a `body` (JSON, or text as it is), a `file` or an `event` after receive, and `headers`; no signature is
needed. `expect` lists every delivery in any order; a field that it leaves out may have any value. A delivery may have
a `mail` (to, subject, holds, lacks, attachments) or a `request` (method, url, headers, body, holds, lacks), whose body
and headers may have more than the test expects; `<secret NAME>` stands for a secret,
and `<encrypted>` for a text that the step `encrypt` makes. A chain, a mail or a request that
fails makes the test fail, unless `fails: CODE` expects it. `answers` are the replies of other systems, by URL.
Nothing is sent, no secret is read, and the time is always 2026-01-01."""


def main(arguments: list[str]) -> int:
    codes = "0 all passed, 1 a test failed or the configuration has faults, 2 usage error"
    command = parser("test", "hookchain test --config deploy/hookchain.yaml", details=DETAILS, exit_codes=codes)
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
    """Return the document in place of results: a configuration with faults has none."""
    faults: list[Json] = [{"line": each.line, "where": each.where, "rule": each.rule} for each in found.faults]
    return {"file": found.file, "faults": faults, "tests": []}


def _results(options: argparse.Namespace) -> list[CaseResult]:
    environ = configured.environ_of(options)
    chosen = checkout.checked_config(options.config, environ)
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
