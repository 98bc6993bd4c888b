"""This machine's clock, against the Date header of an answer over HTTPS."""

import time
from email.utils import parsedate_to_datetime
from typing import Final

from deploy.google.api import exchange
from deploy.terminal.finding import Finding, ok, problem, unknown

URL: Final = "https://www.googleapis.com/discovery/v1/apis?name=run&preferred=true"
MOST_SECONDS: Final = 60.0
"""Signatures bear 300 s, tokens less; the header itself is exact to a second."""


def clock(url: str = URL) -> Finding:
    _, headers = exchange("GET", url, {}, seconds=4.0)
    return clock_finding(headers.get("date"), time.time())


def clock_finding(date: str | None, now: float) -> Finding:
    try:
        skew = now - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return unknown("the answer said no time")
    if abs(skew) > MOST_SECONDS:
        way = "fast" if skew > 0 else "slow"
        advice = "set it by the network (Linux: timedatectl set-ntp true; macOS: System Settings, Date & Time)"
        return problem(f"this machine's clock is {abs(skew):.0f} s {way}: signatures and tokens would fail", advice)
    return ok("right, to within a minute")
