"""Which of the two speeds runs: the modules as Python, or the same modules compiled.

The hot modules are compiled, when the package is built and a compiler is there, into the folder ``_compiled``; their
source stays where it is. A package with such modules looks into that folder first, unless the environment variable
``AUTOBAHNLIKE_PURE`` is set to anything but 0, or the modules do not load. They load in one interpreter of a process;
subinterpreters run the source.
"""

from __future__ import annotations

import os
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec

__all__ = ("COMPILED", "implementation", "search_path")

_FOLDER = os.path.join(os.path.dirname(__file__), "_compiled")
_KERNEL = "autobahnlike.wire.kernel"


def _why_pure() -> str | None:
    """Say why the source runs; None if the compiled modules do."""
    if os.environ.get("AUTOBAHNLIKE_PURE", "0") not in ("", "0"):
        return "AUTOBAHNLIKE_PURE is set"
    for suffix in EXTENSION_SUFFIXES:
        path = os.path.join(_FOLDER, "wire", f"kernel{suffix}")
        if os.path.exists(path):
            break
    else:
        return "not compiled"
    loader = ExtensionFileLoader(_KERNEL, path)
    try:
        # Does what an import begins with, and leaves it at that: the interpreter and the linker have agreed.
        loader.create_module(ModuleSpec(_KERNEL, loader, origin=path))
    except ImportError as error:
        return f"the compiled modules do not load: {error}"
    return None


# Looked at once: an interpreter has one speed.
_WHY_PURE = _why_pure()

COMPILED = _WHY_PURE is None
"""Whether the compiled modules run."""


def search_path(path: list[str], package: str) -> list[str]:
    """Return where the modules of a package are to be looked for.

    Args:
        path: the package's own ``__path__``.
        package: its name within ``autobahnlike``.
    """
    return [os.path.join(_FOLDER, package), *path] if COMPILED else path


def implementation() -> str:
    """Say which speed runs: "compiled", or "pure Python" and why."""
    return "compiled" if COMPILED else f"pure Python, {_WHY_PURE}"
