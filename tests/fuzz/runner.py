"""Runs a fuzz target: on the files that are named, or under atheris."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ("CORPUS", "corpus", "main")

CORPUS = Path(__file__).parent / "corpus"


def corpus(name: str) -> dict[str, bytes]:
    """Read the interesting inputs of a target, by their names."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def main(fuzz_one: Callable[[bytes], object], name: str) -> None:
    """Run a target as the command line says.

    Args:
        fuzz_one: the target.
        name: the folder of its corpus.
    """
    if sys.argv[1:] and all(Path(argument).is_file() for argument in sys.argv[1:]):
        for argument in sys.argv[1:]:
            fuzz_one(Path(argument).read_bytes())
            print(f"{argument}: nothing wrong")
        return
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is not installed: name files to try, or run the tests")
    atheris.instrument_all()
    # New inputs of interest go to the folder that the command line names, or nowhere.
    atheris.Setup([*sys.argv, str(CORPUS / name)], fuzz_one)
    atheris.Fuzz()
