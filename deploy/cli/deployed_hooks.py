"""The lines of a deployment about hooks: those that are not registered, and those that stay after its removal.

`target` is the namespace of options, such as --platform and --project, that finds the deployment. A deployment does not
fail because of its hooks, so an error becomes a warning.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping

from deploy.cli.command import EXPECTED, error_text
from deploy.cli.registrar import Registrar, UnknownSignedUrl, former_places, hook_names
from deploy.config.configured import LoadedConfig
from deploy.hooks.row import Row
from deploy.platforms.choice import open_platform, same_platform
from deploy.requests.wanted_hooks import HookedSource, hooked_sources


def print_unregistered_hooks(configuration: LoadedConfig, target: argparse.Namespace) -> None:
    """Print which sources have no registered hook, and which hooks no source.

    If the hooks cannot be read, print a warning; nothing if the configuration has no `hook` either.
    """
    sources = hooked_sources(configuration.document)
    try:
        registrar = Registrar(configuration, open_platform(target, configuration.environ), same_platform(target))
        rows = asyncio.run(registrar.read_rows())
        missing = [name for name, source in sources.items() if _is_missing(registrar, source, rows)]
    except EXPECTED as error:
        if sources:
            _warn_unknown(error)
        return
    if missing:
        apply = registrar.command_line("apply")
        print(f"\nNot registered at the provider: {', '.join(missing)}. To register: {apply}")
    for line in lines_without_source(registrar, rows):
        print(f"\n{line}")


def _is_missing(registrar: Registrar, source: HookedSource, rows: Mapping[str, Row]) -> bool:
    """Return whether a place of the source has no registered hook with the source's URL. Raises CommandError."""
    row = rows.get(source.name)
    if row is None or former_places(source, row):
        return True
    try:
        url = registrar.hook_url(source)
    except UnknownSignedUrl:  # `apply` says what to correct
        return True
    is_same_url = source.kind.is_same_url
    registered = {at for at, hook in row.hooks.items() if is_same_url(hook.url, url) and not hook.stage}
    return not registered.issuperset(source.hook.places)


def lines_without_source(registrar: Registrar, rows: Mapping[str, Row]) -> list[str]:
    """Return a line for each source that has remembered hooks but no `hook`: plan and apply leave it out."""
    sources = registrar.sources()
    return [
        f"{hook_names({name: row})}: still registered, and {name} has no `hook` any more. "
        f"To remove: {registrar.command_line('remove', name)}"
        for name, row in rows.items()
        if name not in sources
    ]


def print_left_hooks(environ: Mapping[str, str], target: argparse.Namespace) -> None:
    """Print which webhooks stay registered after the deployment is removed: its rows are removed with its store."""
    nothing = LoadedConfig(environ, None, None, {})
    try:
        rows = asyncio.run(Registrar(nothing, open_platform(target, environ), "").read_rows())
    except EXPECTED as error:
        _warn_unknown(error)
        return
    if rows:
        print(f"These webhooks stay registered at their providers: {hook_names(rows)}. To remove them first:")
        print(f"  hookchain hooks remove{same_platform(target)}")


def _warn_unknown(error: Exception) -> None:
    print(f"warning: it is not known which hooks are registered: {error_text(error)}", file=sys.stderr)
