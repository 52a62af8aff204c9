"""``aws-proxy``: what programmes send to API Gateway comes to a gateway of ours."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autobahnlike.asgi.address import UnixAddress, parse_address, url_of
from autobahnlike.asgi.failure import CannotServe
from autobahnlike.asgi.listening import listening
from autobahnlike.asgi.runner import is_installed
from autobahnlike.asgi.signals import on_first_signal
from autobahnlike.cli import logs
from autobahnlike.cli.failure import RUNTIME, USAGE, CommandFailed
from autobahnlike.exception import InvalidArgument

if TYPE_CHECKING:
    from autobahnlike.awsproxy import Proxy, ProxyOptions

__all__ = ("add_arguments", "serve_aws_proxy")

_DEFAULT = "127.0.0.1:8443"
_CA = "aws-proxy-ca.pem"
_NEEDED = ("certifi", "cryptography", "h11")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``aws-proxy``."""
    parser.add_argument(
        "--to",
        metavar="URL",
        required=True,
        help="the gateway: http://host:port, https://host:port or unix:PATH",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        default=_DEFAULT,
        help="a port, host:port or [IPv6]:port, of this machine unless there is --allow (default: %(default)s)",
    )
    parser.add_argument(
        "--allow",
        metavar="NETWORK",
        action="append",
        default=[],
        help="who may use the proxy besides programmes on this machine, like 172.17.0.0/16; can be repeated",
    )
    parser.add_argument(
        "--host",
        metavar="PATTERN",
        dest="hosts",
        action="append",
        help="a host that the proxy answers for, at port 443, instead of those of API Gateway; * is any text; can be"
        " repeated",
    )
    parser.add_argument("--only-aws", action="store_true", help="refuse all other hosts, instead of connecting to them")
    parser.add_argument(
        "--ca",
        metavar="FILE",
        default=_CA,
        help="the certificate of the authority, which is made if there is none (default: %(default)s)",
    )
    parser.add_argument("--ca-key", metavar="FILE", help="its private key (default: that of --ca, ending in .key)")
    parser.add_argument(
        "--bundle",
        metavar="FILE",
        help="where to write the certificate of the authority and all that are trusted anyway (default: that of --ca,"
        " ending in -bundle.pem)",
    )
    parser.add_argument(
        "--idle-timeout",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="give a connection up after so long without a byte (default: %(default)g)",
    )
    parser.add_argument(
        "--max-connections",
        metavar="N",
        type=int,
        default=400,
        help="how many connections there may be at the same time (default: %(default)s)",
    )
    logs.add_arguments(parser, of_requests=False)


def serve_aws_proxy(asked: argparse.Namespace) -> None:
    """Run a proxy until SIGINT or SIGTERM.

    Args:
        asked: what the command line asks for.

    Raises:
        CommandFailed: that is not possible.
    """
    missing = [package for package in _NEEDED if not is_installed(package)]
    if missing:
        raise CommandFailed(f"aws-proxy needs {' and '.join(missing)}: pip install 'autobahnlike[aws-proxy]'", USAGE)
    from autobahnlike.awsproxy import Authority, CannotUseAuthority, Proxy, parse_upstream, write_bundle
    from autobahnlike.awsproxy.authority import domains_of

    try:
        options = _options(asked)
        upstream = parse_upstream(asked.to)
        domains = domains_of(options.hosts)
        _check_address(asked.listen)
    except (ValueError, InvalidArgument) as error:
        raise CommandFailed(str(error), USAGE) from None
    logs.log_to_stderr("asyncio", asked.log_level, asked.log_format)
    ca = Path(asked.ca).absolute()
    bundle = ca.with_name(f"{ca.stem}-bundle.pem") if asked.bundle is None else Path(asked.bundle).absolute()
    key = ca.with_suffix(".key") if asked.ca_key is None else Path(asked.ca_key).absolute()
    if len({ca, bundle, key}) < 3:
        raise CommandFailed("--ca, --ca-key and --bundle have to be three files", USAGE)
    try:
        with listening([asked.listen]) as sockets:
            _check_sockets(sockets, options)
            authority = Authority(ca, key, domains)
            write_bundle(bundle, authority)
            asyncio.run(_serve(Proxy(upstream, authority, options), sockets, asked.to, bundle))
    except CannotServe as error:
        raise CommandFailed(str(error), USAGE if error.asked_wrongly else RUNTIME) from None
    except CannotUseAuthority as error:
        raise CommandFailed(str(error)) from None


def _options(asked: argparse.Namespace) -> ProxyOptions:
    from autobahnlike.awsproxy import AWS_HOSTS, ProxyOptions
    from autobahnlike.awsproxy.options import parse_network

    return ProxyOptions(
        hosts=tuple(asked.hosts or AWS_HOSTS),
        only_hosts=asked.only_aws,
        allowed=tuple(parse_network(text) for text in asked.allow),
        idle_timeout=asked.idle_timeout,
        max_connections=asked.max_connections,
    )


def _check_address(text: str) -> None:
    if isinstance(parse_address(text), UnixAddress):
        raise InvalidArgument("HTTPS_PROXY is a host and a port: listen on these, not on a Unix domain socket")


def _check_sockets(sockets: Sequence[socket.socket], options: ProxyOptions) -> None:
    """Refuse to serve others unless it is said whom: they would be connected to any host, in the name of this one."""
    from autobahnlike.awsproxy.options import is_loopback

    open_ones = [sock.getsockname()[0] for sock in sockets if not is_loopback(sock.getsockname()[0])]
    if open_ones and not options.allowed:
        raise CommandFailed(
            f"other machines could use the proxy at {', '.join(open_ones)}: say which of them may, with --allow", USAGE
        )
    if open_ones:
        logging.getLogger("autobahnlike.awsproxy").warning(
            "who comes through the proxy from another machine looks to the gateway like a programme of this one: give"
            " the gateway keys, unless you trust all of %s",
            ", ".join(map(str, options.allowed)),
        )


async def _serve(proxy: Proxy, sockets: Sequence[socket.socket], to: str, bundle: Path) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    on_first_signal(lambda: loop.call_soon_threadsafe(stopped.set), loop)
    urls = [url_of(sock, "http").rstrip("/") for sock in sockets]
    async with proxy.serving(sockets):
        print(f"What is sent to API Gateway goes to {to}, for programmes that have these in their environment:")
        print(f"HTTPS_PROXY={urls[0]}")
        print(f"AWS_CA_BUNDLE={bundle}", flush=True)
        await stopped.wait()
