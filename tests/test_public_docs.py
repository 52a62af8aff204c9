"""Every public name is in the reference."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
PACKAGE = ROOT / "autobahnlike"

# The command line has a page of the guide, the proxy is a command of it, and the demo is there to be looked at: none of
# them is an API.
NOT_AN_API = ("autobahnlike.awsproxy", "autobahnlike.cli", "autobahnlike.demo", "autobahnlike.__main__")
# Of the server for applications, these modules are for those who start it; the others are how it works.
SERVING = {f"autobahnlike.asgi{name}" for name in ("", ".asyncio", ".twisted", ".options", ".errors", ".failure")}
# Of the gateway, these are for applications; the others are how it works.
OF_GATEWAYS = {
    f"autobahnlike.gateway{name}"
    for name in (
        "",
        ".api",
        ".application",
        ".chalice",
        ".chalice_worker",
        ".context",
        ".core",
        ".handlers",
        ".limits",
        ".rooms",
    )
}
# Of the transport to Redis, only what it is configured with.
OF_BACKPLANES = {
    f"autobahnlike.backplane{name}" for name in ("", ".ids", ".interface", ".memory", ".redis", ".redis.url")
}
# Of monitoring, what a programme uses; the metrics have a table in the guide.
OF_MONITORING = {"autobahnlike.monitoring", "autobahnlike.monitoring.monitor"}


def modules() -> list[str]:
    """Every module that says what is public in it."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name.startswith("autobahnlike.asgi") and name not in SERVING:
            continue
        if name.startswith("autobahnlike.gateway") and name not in OF_GATEWAYS:
            continue
        if name.startswith("autobahnlike.backplane") and name not in OF_BACKPLANES:
            continue
        if name.startswith("autobahnlike.monitoring") and name not in OF_MONITORING:
            continue
        if not name.startswith(NOT_AN_API) and "__all__" in path.read_text():
            found.append(name)
    return found


def documented() -> set[str]:
    """The full names of what the pages of the reference document."""
    names: set[str] = set()
    for page in REFERENCE.glob("*.rst"):
        text = page.read_text()
        names |= set(re.findall(r"^\.\. (?:autoclass|py:data|py:exception):: (\S+)$", text, re.MULTILINE))
        if ".. generated:: interfaces" in text:
            names |= public_names(importlib.import_module("autobahnlike.websocket.interfaces"))
        for module, options in re.findall(r"^\.\. automodule:: (\S+)\n((?:   :.*\n)*)", text, re.MULTILINE):
            names.add(module)
            if ":no-members:" in options:
                continue
            excluded = re.search(r":exclude-members: (.*)", options)
            left_out = set(excluded[1].split(", ")) if excluded else set()
            imported = importlib.import_module(module)
            for name in set(imported.__all__) - left_out:
                names |= {f"{module}.{name}", home_of(imported, name)}
    return names


def public_names(module: ModuleType) -> set[str]:
    return {f"{module.__name__}.{name}" for name in module.__all__}


def home_of(module: ModuleType, name: str) -> str:
    """The full name of something under which it was made, where it tells."""
    made = getattr(module, name)
    return f"{getattr(made, '__module__', module.__name__)}.{name}"


@pytest.mark.parametrize("name", modules())
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    known = documented()
    missing = {public for public in module.__all__ if not {f"{name}.{public}", home_of(module, public)} & known}
    assert not missing
