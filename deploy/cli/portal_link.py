"""`hookchain portal-link TENANT`: print a link with which the tenant manages its endpoints in a browser."""

import argparse
from typing import Final, get_args

from deploy.cli.command import DONE, duration_option
from deploy.cli.subscribers_command import Call, SubscribersAction, run_call
from deploy.client.hookchain.subscribers_types import Capability
from deploy.terminal.printing import print_json

CAPABILITIES: Final = get_args(Capability)
DEFAULT: Final = ("view", "manage", "resend")
DETAILS: Final = """\
Whoever has the link may do what it allows until it expires: send it to nobody else. Capabilities: `view` shows
endpoints and deliveries; `manage` changes endpoints; `resend` sends deliveries again; `reveal_secret` shows secrets.
`hookchain portal-link TENANT --revoke` makes all links of the tenant invalid."""


def main(arguments: list[str]) -> int:
    action = SubscribersAction(
        "Print a link with which a tenant manages its endpoints",
        "hookchain portal-link acme --expires 1d --platform gcp",
        _add_arguments,
        _run,
        DETAILS,
        {"--revoke": ("--capabilities", "--expires")},
    )
    return run_call("portal-link", action, arguments)


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("tenant", metavar="TENANT", help="name the tenant by your own id")
    command.add_argument(
        "--capabilities",
        metavar="LIST",
        type=_capabilities,
        default=DEFAULT,
        help=f"set what the link allows, separated by commas [{','.join(DEFAULT)}]",
    )
    command.add_argument(
        "--expires",
        metavar="TIME",
        type=duration_option("1m", "7d"),
        default=3600,
        help="set how long the link is valid, at most 7d [1h]",
    )
    command.add_argument("--revoke", action="store_true", help="make all links of the tenant invalid, and print none")


def _capabilities(text: str) -> tuple[str, ...]:
    """Raises ArgumentTypeError."""
    names = tuple(name.strip().replace("-", "_") for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in CAPABILITIES]:
        raise argparse.ArgumentTypeError(f"must be of {', '.join(CAPABILITIES)}; got {unknown[0]!r}")
    return names


def _run(call: Call) -> int:
    options = call.options
    base_url = "" if call.settings.public_url or options.revoke else call.platform.subscribe_url()
    with call.api(base_url=base_url) as api:
        hooks = api.client()
        if options.revoke:
            hooks.revoke_sessions(options.tenant)
            if options.json:
                print_json({"tenant": options.tenant, "revoked": True})
            else:
                print(f"{options.tenant}: all portal links made until now are invalid")
            return DONE
        made = hooks.create_token(options.tenant, capabilities=options.capabilities, expires_in=int(options.expires))
    if options.json:
        print_json({"url": made["url"], "session": made["session"], "expires_at": made["expires_at"]})
    else:
        print(made["url"])
    return DONE
