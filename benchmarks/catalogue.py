"""The servers: what each is called, what it needs, and what it can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from benchmarks.patterns import chosen
from benchmarks.scenarios import Scenario

__all__ = ("QUICK", "REFERENCE", "REFERENCES", "SERVERS", "Server", "missing_of", "select", "versions_of")


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that can be measured.

    Attributes:
        name: what it is called on the command line.
        module: the file in ``benchmarks/servers``.
        loop: the loop that it is asked to use.
        packages: the distributions it needs, the one that it is about first.
        raw: whether it only copies bytes, without a protocol.
        broadcast: whether it can send to everybody.
        deflate: whether it can compress.
        pure: whether it is told not to use what was compiled.
    """

    name: str
    module: str
    loop: str = "asyncio"
    packages: tuple[str, ...] = ()
    raw: bool = False
    broadcast: bool = True
    deflate: bool = True
    pure: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is autobahnlike."""
        return self.name.startswith("autobahnlike")

    def can(self, scenario: Scenario) -> bool:
        """Whether it can do what a scenario asks for."""
        if self.raw:
            return scenario.mode == "echo" and not scenario.deflate
        return (self.broadcast or scenario.mode != "broadcast") and (self.deflate or not scenario.deflate)


def _on_loops(name: str, module: str, packages: tuple[str, ...], *, raw: bool = False) -> list[Server]:
    return [
        Server(f"{name}-asyncio", module, "asyncio", packages, raw),
        Server(f"{name}-uvloop", module, "uvloop", (*packages, "uvloop"), raw),
    ]


def _ours(name: str, *, pure: bool = False) -> list[Server]:
    twisted = Server(f"{name}-twisted", "ours_twisted", "twisted", ("Twisted",), pure=pure)
    return [
        *(dataclasses.replace(server, pure=pure) for server in _on_loops(name, "ours_asyncio", ())),
        twisted,
        dataclasses.replace(
            twisted, name=f"{twisted.name}-uvloop", loop="twisted-uvloop", packages=("Twisted", "uvloop")
        ),
    ]


SERVERS = (
    *_ours("autobahnlike"),
    *_ours("autobahnlike-pure", pure=True),
    *(dataclasses.replace(server, deflate=False) for server in _on_loops("picows", "picows_server", ("picows",))),
    *_on_loops("picows-websockets", "picows_websockets", ("picows", "websockets")),
    *_on_loops("websockets", "websockets_server", ("websockets",)),
    *_on_loops("aiohttp", "aiohttp_server", ("aiohttp",)),
    Server("autobahn-twisted", "autobahn_twisted", "twisted", ("autobahn", "Twisted")),
    Server("autobahn-asyncio", "autobahn_asyncio", "asyncio", ("autobahn",)),
    Server("twisted-web", "twisted_web", "twisted", ("Twisted", "wsproto"), deflate=False),
    Server("tornado", "tornado_server", "asyncio", ("tornado",)),
    Server("uvicorn-uvloop", "uvicorn_server", "uvloop", ("uvicorn", "websockets", "uvloop")),
    *_on_loops("raw", "raw_asyncio", (), raw=True),
    Server("raw-twisted", "raw_twisted", "twisted", ("Twisted",), raw=True),
    Server("raw-twisted-uvloop", "raw_twisted", "twisted-uvloop", ("Twisted", "uvloop"), raw=True),
)

# To which everything is compared: the first of these that was measured. picows is the cheapest of the others, but does
# not compress.
REFERENCE = "picows-uvloop"
REFERENCES = (REFERENCE, "websockets-uvloop", "aiohttp-uvloop", "websockets-asyncio", "aiohttp-asyncio")

QUICK = (
    *("autobahnlike-asyncio", "autobahnlike-uvloop", "autobahnlike-twisted", "autobahnlike-twisted-uvloop"),
    *(REFERENCE, "aiohttp-uvloop", "websockets-uvloop", "autobahn-twisted", "raw-uvloop"),
)


def missing_of(server: Server) -> list[str]:
    """Return the distributions that a server needs and that are not installed."""
    return [package for package in server.packages if _version(package) is None]


def versions_of(servers: Iterable[Server]) -> dict[str, str]:
    """Return the versions of all that servers need, by the name of the distribution."""
    packages = dict.fromkeys(package for server in servers for package in server.packages)
    found = {package: _version(package) for package in packages}
    return {package: number for package, number in found.items() if number is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def select(patterns: Iterable[str]) -> list[Server]:
    """Return the servers of which the name fits one of the patterns.

    Args:
        patterns: as of shells.

    Raises:
        ValueError: one of them fits none.
    """
    return chosen("server", SERVERS, list(patterns))
