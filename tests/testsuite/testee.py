"""What the testees of both loops have in common.

They set no option: what the suite says holds for the defaults.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("case_url", "main")


def case_url(url: str, agent: str, number: int) -> str:
    """Where a fuzzing server runs a case.

    Args:
        url: the fuzzing server.
        agent: the name to report under.
        number: the position of the case among those selected, from 1.
    """
    return f"{url}/runCase?case={number}&agent={agent}"


def main(serve: Callable[[str], None], connect: Callable[[str, str, str], None]) -> None:
    """Be what the command line asks for: ``serve LOOP`` or ``connect LOOP URL AGENT``.

    Args:
        serve: the server, given the name of the loop.
        connect: the client, given the name of the loop, the URL and the agent.
    """
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    server, client = roles.add_parser("serve"), roles.add_parser("connect")
    server.add_argument("loop")
    for name in ("loop", "url", "agent"):
        client.add_argument(name)
    arguments = parser.parse_args()
    if arguments.role == "serve":
        serve(arguments.loop)
    else:
        connect(arguments.loop, arguments.url, arguments.agent)
